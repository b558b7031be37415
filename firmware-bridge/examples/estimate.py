"""Estimates over drawn frames, as a test bench asks for them.

    PYTHONPATH=share/echocart/python python3 estimate.py PACKAGE LIBONNXRUNTIME
"""

import sys

from echocart import C, Session

FRAMES = 90
WIDTH, HEIGHT = 64, 48
PERIOD_NANOS = 33333333


def main(package, library):
    estimates, ended = 0, False
    with Session(package, library, pace=C.PACE_MAX, allow_demonstration=1) as session:
        session.start()
        print(session.info().provider.decode())
        for number in range(FRAMES):
            pixels = bytes((at * (number % 89 + 3)) % 253 for at in range(WIDTH * HEIGHT))
            while session.push(pixels, WIDTH, HEIGHT, number * PERIOD_NANOS)[0] == C.WOULD_BLOCK:
                session.wait(1000)
        session.end_of_frames()
        while not ended:
            _, result = session.wait(1000000)
            if result is not None:
                estimates += result.kind == C.RESULT_ESTIMATE
                ended = result.kind == C.RESULT_STATE and result.state == C.STATE_SOURCE_ENDED
        session.stop(10000000)
    print(f"{estimates} estimates")


if __name__ == "__main__":
    main(*sys.argv[1:])

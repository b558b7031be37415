"""The C interface of echocart for test benches: one file, ctypes only, Python 3.9 or later.

Structs, numbers and functions are read from echocart.h, so that this file cannot disagree with it.
The header and the library are looked for where the delivery puts them; ECHOCART_HEADER and
ECHOCART_LIBRARY in the environment name others.

    with Session(package_dir=..., library_path=..., pace=C.PACE_MAX, allow_demonstration=1) as s:
        s.start()
        s.push(pixels, width_px=96, height_px=80, capture_nanos=0)
        for result in s.poll_all(): print(result.kind)

One thread at a time may use a Session's push, and one its poll. Run as a program it prints what it
read from the header.
"""

import ctypes
import os
import pathlib
import re
import sys

_SCALARS = {
    "char": ctypes.c_char,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "int8_t": ctypes.c_int8,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint8_t": ctypes.c_uint8,
    "uint16_t": ctypes.c_uint16,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
}
_LIMITS = {
    "UINT8_MAX": "0xff",
    "UINT16_MAX": "0xffff",
    "UINT32_MAX": "0xffffffff",
    "UINT64_MAX": "0xffffffffffffffff",
    "INT32_MAX": "0x7fffffff",
    "INT64_MAX": "0x7fffffffffffffff",
    "INT64_MIN": "(-0x8000000000000000)",
}


class Error(Exception):
    """A call that failed; `code` is one of the ECHOCART_* codes."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class _Constants:
    """The header's numbers without their prefix: C.PACE_MAX is ECHOCART_PACE_MAX."""


def _find(variable, names):
    given = os.environ.get(variable)
    if given:
        return pathlib.Path(given)
    here = pathlib.Path(__file__).resolve().parent
    for above in [here, *here.parents]:
        for name in names:
            for path in sorted(above.glob(name)):
                return path
    raise FileNotFoundError(f"{names[0]} is not in a folder above; set {variable} ({here})")


def _plain(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"//[^\n]*", " ", text)


def _read_constants(text):
    constants = _Constants()
    known = dict(_LIMITS)
    for name, value in re.findall(r"^#define (ECHOCART_[A-Z0-9_]+) +(\S[^\n]*)$", text, re.M):
        words = re.sub(r"\b[A-Z][A-Z0-9_]+\b", lambda m: known.get(m.group(), "?"), value)
        words = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", words)
        if re.fullmatch(r"[-+*|&<>()\s0-9a-fA-Fx]+", words):
            known[name] = f"({words})"
            setattr(constants, name[len("ECHOCART_"):], eval(words))  # digits and operators only
    return constants, known


def _read_structs(text, known):
    structs = {}
    pattern = r"typedef struct (echocart_\w+_t) \{(.*?)\} \1;"
    for name, body in re.findall(pattern, text, re.S):
        fields = []
        for line in filter(None, (part.strip() for part in body.split(";"))):
            found = re.fullmatch(r"(.*?)(\w+)((?:\[\w+\])*)", line, re.S)
            kind = _kind(found[1], structs)
            for length in reversed(re.findall(r"\[(\w+)\]", found[3])):
                kind *= int(eval(known.get(length, length)))
            fields.append((found[2], kind))
        structs[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return structs


def _kind(words, structs):
    stars = words.count("*")
    base = re.sub(r"\b(const|struct)\b|\*", " ", words).strip()
    if stars == 0:
        return structs.get(base) or _SCALARS.get(base) or ctypes.c_void_p
    if stars == 1 and base == "char":
        return ctypes.c_char_p
    if stars == 1 and base in structs:
        return ctypes.POINTER(structs[base])
    if stars == 1 and base in _SCALARS and base != "uint8_t":
        return ctypes.POINTER(_SCALARS[base])
    return ctypes.c_void_p if stars == 1 else ctypes.POINTER(ctypes.c_void_p)


def _bind(library, text, structs):
    pattern = r"ECHOCART_API\s+([\w\s*]+?)\s*ECHOCART_CALL\s+(echocart_\w+)\(([^;]*)\);"
    names = []
    for result, name, arguments in re.findall(pattern, text):
        function = getattr(library, name)
        function.restype = _kind(result, structs)
        kinds = []
        if arguments.strip() != "void":
            for argument in arguments.split(","):
                found = re.fullmatch(r"(.*?)(\w+)", argument.strip(), re.S)
                kinds.append(_kind(found[1], structs))
        function.argtypes = kinds
        names.append(name)
    return names


HEADER = _find("ECHOCART_HEADER", ["include/echocart.h", "echocart.h"])
LIBRARY = _find("ECHOCART_LIBRARY", ["lib/libechocart.so.*", "lib/*/libechocart.so.*"])
_TEXT = _plain(HEADER.read_text(encoding="utf-8"))
C, _KNOWN = _read_constants(_TEXT)
STRUCTS = _read_structs(_TEXT, _KNOWN)
lib = ctypes.CDLL(str(LIBRARY))
FUNCTIONS = _bind(lib, _TEXT, STRUCTS)

if lib.echocart_abi_version() >> 16 != C.ABI_MAJOR:
    raise ImportError(f"{LIBRARY} has another ABI than {HEADER}")


def make(name, **fields):
    """Makes a struct with every byte zero and `struct_size` set, then the fields given."""
    struct = STRUCTS[f"echocart_{name}_t"]()
    if hasattr(struct, "struct_size"):
        struct.struct_size = ctypes.sizeof(struct)
    for field, value in fields.items():
        if field not in dict(struct._fields_):
            raise TypeError(f"echocart_{name}_t has no field {field}")
        setattr(struct, field, value)
    return struct


def check(code):
    """Gives success and flow codes (11xx) back and raises Error for every failure."""
    if code == 0 or code // 100 == 11:
        return code
    text = lib.echocart_code_text(code).decode()
    size = ctypes.c_uint64()
    buffer = ctypes.create_string_buffer(2048)
    if lib.echocart_last_error(buffer, len(buffer), ctypes.byref(size)) == 0 and size.value:
        text += ": " + buffer.value.decode()
    raise Error(code, text)


def now_nanos():
    """Gives the time on the clock of all `_nanos` fields."""
    nanos = ctypes.c_int64()
    check(lib.echocart_clock_now(ctypes.byref(nanos)))
    return nanos.value


class Session:
    """A session with its two ports; a context manager that stops and frees all three."""

    def __init__(self, package_dir, library_path, config_toml="", **fields):
        self._handles = [ctypes.c_void_p() for _ in range(3)]
        texts = {
            "package_dir": package_dir,
            "library_path": library_path,
            "config_toml": config_toml,
        }
        for field in ("worker_path", "cache_dir"):
            texts[field] = fields.pop(field, "")
        config = make("session_config", abi_version=C.ABI_VERSION, **fields)
        for field, text in texts.items():
            encoded = os.fspath(text).encode()
            setattr(config, field, encoded)
            setattr(config, field + "_bytes", len(encoded))
        outs = [ctypes.byref(handle) for handle in self._handles]
        check(lib.echocart_session_create(ctypes.byref(config), *outs))
        self._session, self._frames, self._results = self._handles

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Frees the three handles; a second call does nothing."""
        destroys = [
            lib.echocart_session_destroy,
            lib.echocart_frame_port_destroy,
            lib.echocart_result_port_destroy,
        ]
        for destroy, handle in zip(destroys, self._handles):
            check(destroy(ctypes.byref(handle)))

    def info(self):
        """Gives what runs, an echocart_session_info_t."""
        info = make("session_info")
        size = ctypes.sizeof(info)
        check(lib.echocart_session_info(self._session, size, ctypes.byref(info)))
        return info

    def push(self, pixels, width_px, height_px, capture_nanos, **fields):
        """Pushes one frame of bytes, GRAY8 without padding unless fields say otherwise.

        Gives (code, number); the code is OK, WOULD_BLOCK or DROPPED.
        """
        pixels = bytes(pixels)
        fields.setdefault("format", C.PIXEL_GRAY8)
        fields.setdefault("row_stride_bytes", width_px)
        frame = make(
            "frame",
            width_px=width_px,
            height_px=height_px,
            capture_nanos=capture_nanos,
            pixel_bytes=len(pixels),
            **fields,
        )
        frame.pixels = ctypes.cast(pixels, ctypes.c_void_p)
        number = ctypes.c_uint64()
        code = lib.echocart_frame_push(self._frames, ctypes.byref(frame), ctypes.byref(number))
        return check(code), number.value

    def start(self):
        """Lets frames in."""
        check(lib.echocart_session_start(self._session))

    def pause(self):
        """Takes no frame until resume."""
        check(lib.echocart_session_pause(self._session))

    def resume(self):
        """Takes frames again."""
        check(lib.echocart_session_resume(self._session))

    def stats(self):
        """Gives counts and times, an echocart_session_stats_t."""
        stats = make("session_stats")
        size = ctypes.sizeof(stats)
        check(lib.echocart_session_stats(self._session, size, ctypes.byref(stats)))
        return stats

    def save(self, path):
        """Writes what the flight recorder holds to a new file; gives its records and frames."""
        text = os.fspath(path).encode()
        records, frames = ctypes.c_uint64(), ctypes.c_uint64()
        outputs = (ctypes.byref(records), ctypes.byref(frames))
        check(lib.echocart_session_save(self._session, text, len(text), *outputs))
        return records.value, frames.value

    def end_of_frames(self):
        """Says that no frame will come."""
        check(lib.echocart_frame_port_close(self._frames))

    def poll(self):
        """Gives (code, result); the result is None with EMPTY and END."""
        result = STRUCTS["echocart_result_t"]()
        size = ctypes.sizeof(result)
        code = check(lib.echocart_result_poll(self._results, size, ctypes.byref(result)))
        return code, result if code == C.OK else None

    def wait(self, timeout_micros):
        """As poll, but waits for a result; EMPTY after the timeout."""
        result = STRUCTS["echocart_result_t"]()
        size = ctypes.sizeof(result)
        out = ctypes.byref(result)
        code = check(lib.echocart_result_wait(self._results, timeout_micros, size, out))
        return code, result if code == C.OK else None

    def poll_all(self):
        """Gives every result that waits."""
        while True:
            _, result = self.poll()
            if result is None:
                return
            yield result

    def label(self, index):
        """Gives the text of a view label."""
        buffer = ctypes.create_string_buffer(256)
        size = ctypes.c_uint64()
        code = lib.echocart_result_label(
            self._results, index, buffer, len(buffer), ctypes.byref(size)
        )
        check(code)
        return buffer.value.decode()

    def stop(self, timeout_micros):
        """Ends the session; gives OK, or TIMEOUT when frames were left."""
        return check(lib.echocart_session_stop(self._session, timeout_micros))


def main():
    """Prints what was read from the header, for a look and for tests."""
    print(f"library {LIBRARY}, ABI {lib.echocart_abi_version():#x}, {len(FUNCTIONS)} functions")
    for name, struct in STRUCTS.items():
        print(name, ctypes.sizeof(struct))
        for field, _ in struct._fields_:
            at = getattr(struct, field)
            print(f"  {field} {at.offset} {at.size}")


if __name__ == "__main__":
    sys.exit(main())

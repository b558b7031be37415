// The C++ wrapper in use: pushes a synthetic beat at maximum pace and prints every estimate.
//
//   estimate PACKAGE LIBRARY

#include "echocart.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::uint32_t width = 160;
constexpr std::uint32_t height = 120;
constexpr std::int64_t step_nanos = 33'333'333;

std::vector<std::uint8_t> draw(std::int64_t number)
{
    std::vector<std::uint8_t> pixels(std::size_t{width} * height);
    const double radius = 25.0 + 10.0 * std::sin(static_cast<double>(number) * 0.2);
    for (std::uint32_t y = 0; y < height; ++y) {
        for (std::uint32_t x = 0; x < width; ++x) {
            const double distance = std::hypot(x - width / 2.0, y - height / 2.0);
            pixels[std::size_t{y} * width + x] = std::abs(distance - radius) < 4.0 ? 200 : 30;
        }
    }
    return pixels;
}

void print(const echocart::session &session, const echocart_result_t &result)
{
    if (result.kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    const auto label = session.results.label(result.view_label);
    std::printf("clip %llu: %s, EF %.1f %%\n", static_cast<unsigned long long>(result.clip),
                label.value_or("no view").c_str(), static_cast<double>(result.lvef_percent));
}

/// Takes what waits; gives whether the source's end was among it.
bool drain(echocart::session &session)
{
    echocart_result_t result;
    bool ended = false;
    while (session.results.poll(result) == echocart::polled::result) {
        print(session, result);
        ended = ended
                || (result.kind == ECHOCART_RESULT_STATE
                    && result.state == ECHOCART_STATE_SOURCE_ENDED);
    }
    return ended;
}

void run(const std::string &package, const std::string &library)
{
    echocart::config config;
    config.package_dir = package;
    config.library_path = library;
    config.pace = ECHOCART_PACE_MAX;
    config.allow_demonstration = true;
    echocart::session session(config);
    session.start();
    std::printf("%s on %s\n", session.info().package, session.info().provider);

    for (std::int64_t number = 0; number < 150; ++number) {
        const auto pixels = draw(number);
        auto frame = echocart::make_frame();
        frame.format = ECHOCART_PIXEL_GRAY8;
        frame.width_px = width;
        frame.height_px = height;
        frame.row_stride_bytes = width;
        frame.pixels = pixels.data();
        frame.pixel_bytes = pixels.size();
        frame.capture_nanos = number * step_nanos;
        while (session.frames.push(frame).code == ECHOCART_WOULD_BLOCK) {
            drain(session);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    session.frames.close();
    while (!drain(session)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    session.stop(10'000'000);
}

}  // namespace

int main(int count, char **arguments)
{
    if (count != 3) {
        std::fputs("usage: estimate PACKAGE LIBRARY\n", stderr);
        return 2;
    }
    try {
        run(arguments[1], arguments[2]);
    } catch (const echocart::error &error) {
        std::fprintf(stderr, "%s (code %u)\n", error.what(), error.code());
        return 1;
    }
    return 0;
}

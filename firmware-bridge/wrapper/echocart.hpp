// C++17 over echocart.h: handles that free themselves, failures as exceptions.
//
// Header only. The contract is that of the C interface: one thread at a time per object. Nothing
// here allocates on the way of a frame or a result; an exception does.
#ifndef ECHOCART_HPP
#define ECHOCART_HPP

#include "echocart.h"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace echocart {

/// A call that failed, with the library's code and text.
class error : public std::runtime_error {
public:
    explicit error(std::uint32_t code)
        : std::runtime_error(text_of(code)), code_(code) {}

    /// One of the ECHOCART_* codes.
    [[nodiscard]] std::uint32_t code() const noexcept { return code_; }

private:
    static std::string text_of(std::uint32_t code)
    {
        std::string text = echocart_code_text(code);
        std::uint64_t bytes = 0;
        if (echocart_last_error(nullptr, 0, &bytes) == ECHOCART_OK && bytes > 0) {
            std::string detail(static_cast<std::size_t>(bytes) + 1, '\0');
            if (echocart_last_error(detail.data(), detail.size(), &bytes) == ECHOCART_OK) {
                detail.resize(static_cast<std::size_t>(bytes));
                text += ": " + detail;
            }
        }
        return text;
    }

    std::uint32_t code_;
};

/// Whether a code is neither success nor a failure: WOULD_BLOCK, EMPTY, END, DROPPED, TIMEOUT.
[[nodiscard]] constexpr bool is_flow(std::uint32_t code) noexcept
{
    return code / 100 == 11;
}

/// Passes success and flow on and throws every failure.
inline std::uint32_t check(std::uint32_t code)
{
    if (code != ECHOCART_OK && !is_flow(code)) {
        throw error(code);
    }
    return code;
}

/// Time on the clock of all `_nanos` fields.
[[nodiscard]] inline std::int64_t now_nanos()
{
    std::int64_t nanos = 0;
    check(echocart_clock_now(&nanos));
    return nanos;
}

/// Owns one handle; moves, does not copy.
template <typename Handle, std::uint32_t(ECHOCART_CALL *Destroy)(Handle **)>
class owned {
public:
    owned() noexcept = default;
    explicit owned(Handle *handle) noexcept : handle_(handle) {}
    owned(owned &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    owned &operator=(owned &&other) noexcept
    {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    ~owned() { reset(); }

    /// Destroys the handle now.
    void reset() noexcept { static_cast<void>(Destroy(&handle_)); }

    /// The C handle, still owned here.
    [[nodiscard]] Handle *get() const noexcept { return handle_; }

    [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

private:
    Handle *handle_ = nullptr;
};

/// What a session is made from. The texts are borrowed until `session` is made.
struct config {
    std::string_view package_dir;
    std::string_view library_path;
    std::string_view config_toml;
    /// Path of `echocart-worker`; empty: the one beside the library.
    std::string_view worker_path;
    /// Folder for what need not be made at every start; empty: nothing is kept.
    std::string_view cache_dir;
    /// One of `ECHOCART_ISOLATION_*`.
    std::uint32_t isolation = ECHOCART_ISOLATION_DEFAULT;
    std::uint32_t pace = ECHOCART_PACE_REAL;
    bool allow_demonstration = false;

    /// The C struct; a caller may set the fields that this struct does not know.
    [[nodiscard]] echocart_session_config_t to_c() const noexcept
    {
        echocart_session_config_t c{};
        c.struct_size = sizeof c;
        c.abi_version = ECHOCART_ABI_VERSION;
        c.pace = pace;
        c.allow_demonstration = allow_demonstration ? 1 : 0;
        c.package_dir = package_dir.data();
        c.package_dir_bytes = package_dir.size();
        c.library_path = library_path.data();
        c.library_path_bytes = library_path.size();
        c.config_toml = config_toml.data();
        c.config_toml_bytes = config_toml.size();
        c.worker_path = worker_path.data();
        c.worker_path_bytes = worker_path.size();
        c.cache_dir = cache_dir.data();
        c.cache_dir_bytes = cache_dir.size();
        c.isolation = isolation;
        return c;
    }
};

/// A frame with its size set; fill the rest.
[[nodiscard]] inline echocart_frame_t make_frame() noexcept
{
    echocart_frame_t frame{};
    frame.struct_size = sizeof frame;
    return frame;
}

/// What became of a frame.
struct pushed {
    /// OK, WOULD_BLOCK, DROPPED or PAUSED.
    std::uint32_t code;
    /// The frame's number, with OK and DROPPED.
    std::uint64_t number;
};

/// The side that takes frames. One thread.
class frame_port {
public:
    frame_port() noexcept = default;
    explicit frame_port(echocart_frame_port_t *handle) noexcept : handle_(handle) {}

    /// Copies a frame into the pipeline; does not block.
    pushed push(const echocart_frame_t &frame)
    {
        pushed outcome{0, 0};
        outcome.code = check(echocart_frame_push(handle_.get(), &frame, &outcome.number));
        return outcome;
    }

    /// Lends a buffer of at least that many bytes; none when no buffer is free now.
    std::uint8_t *lease(std::uint64_t pixel_bytes)
    {
        std::uint8_t *pixels = nullptr;
        check(echocart_frame_lease(handle_.get(), pixel_bytes, &pixels));
        return pixels;
    }

    /// Puts the lent buffer into the pipeline; `frame.pixels` is what `lease` gave.
    pushed commit(const echocart_frame_t &frame)
    {
        pushed outcome{0, 0};
        outcome.code = check(echocart_frame_commit(handle_.get(), &frame, &outcome.number));
        return outcome;
    }

    /// Gives the lent buffer back unused.
    void release() { check(echocart_frame_release(handle_.get())); }

    /// Says that no frame will come.
    void close() { check(echocart_frame_port_close(handle_.get())); }

    [[nodiscard]] echocart_frame_port_t *get() const noexcept { return handle_.get(); }

private:
    owned<echocart_frame_port_t, echocart_frame_port_destroy> handle_;
};

/// What a poll brought.
enum class polled { result, empty, end };

/// The side that gives results. One thread.
class result_port {
public:
    result_port() noexcept = default;
    explicit result_port(echocart_result_port_t *handle) noexcept : handle_(handle) {}

    /// Takes the oldest result that waits; does not block. `out` is written only with `result`.
    polled poll(echocart_result_t &out)
    {
        switch (check(echocart_result_poll(handle_.get(), sizeof out, &out))) {
        case ECHOCART_OK:
            return polled::result;
        case ECHOCART_END:
            return polled::end;
        default:
            return polled::empty;
        }
    }

    /// As `poll`, but waits for a result; `empty` after the timeout.
    polled wait(std::uint64_t timeout_micros, echocart_result_t &out)
    {
        switch (check(echocart_result_wait(handle_.get(), timeout_micros, sizeof out, &out))) {
        case ECHOCART_OK:
            return polled::result;
        case ECHOCART_END:
            return polled::end;
        default:
            return polled::empty;
        }
    }

    /// Has every result handed to `callback` on the library's own thread, which must not throw.
    void subscribe(echocart_result_callback_t callback, void *user_data)
    {
        check(echocart_result_subscribe(handle_.get(), callback, user_data));
    }

    /// The text of a view label; none for ECHOCART_NO_LABEL.
    [[nodiscard]] std::optional<std::string> label(std::uint32_t index) const
    {
        if (index == ECHOCART_NO_LABEL) {
            return std::nullopt;
        }
        std::uint64_t bytes = 0;
        check(echocart_result_label(handle_.get(), index, nullptr, 0, &bytes));
        std::string text(static_cast<std::size_t>(bytes) + 1, '\0');
        check(echocart_result_label(handle_.get(), index, text.data(), text.size(), &bytes));
        text.resize(static_cast<std::size_t>(bytes));
        return text;
    }

    [[nodiscard]] echocart_result_port_t *get() const noexcept { return handle_.get(); }

private:
    owned<echocart_result_port_t, echocart_result_port_destroy> handle_;
};

/// A running session and its two ports, which other threads may use through `frames`, `results`.
class session {
public:
    /// Loads what the configuration names; blocks.
    explicit session(const config &from) : session(from.to_c()) {}

    explicit session(const echocart_session_config_t &from)
    {
        echocart_session_t *handle = nullptr;
        echocart_frame_port_t *frame_handle = nullptr;
        echocart_result_port_t *result_handle = nullptr;
        check(echocart_session_create(&from, &handle, &frame_handle, &result_handle));
        handle_ = owned<echocart_session_t, echocart_session_destroy>(handle);
        frames = frame_port(frame_handle);
        results = result_port(result_handle);
    }

    /// Tells what runs.
    [[nodiscard]] echocart_session_info_t info() const
    {
        echocart_session_info_t info{};
        check(echocart_session_info(handle_.get(), sizeof info, &info));
        return info;
    }

    /// Lets frames in.
    void start() { check(echocart_session_start(handle_.get())); }

    /// Takes no frame until `resume`.
    void pause() { check(echocart_session_pause(handle_.get())); }

    /// Takes frames again.
    void resume() { check(echocart_session_resume(handle_.get())); }

    /// Counts and times since the session was made.
    [[nodiscard]] echocart_session_stats_t stats() const
    {
        echocart_session_stats_t stats{};
        check(echocart_session_stats(handle_.get(), sizeof stats, &stats));
        return stats;
    }

    /// How much memory the session has.
    [[nodiscard]] echocart_session_memory_t memory() const
    {
        echocart_session_memory_t memory{};
        check(echocart_session_memory(handle_.get(), sizeof memory, &memory));
        return memory;
    }

    /// Writes what the flight recorder holds to a new file; gives its records and frames.
    std::pair<std::uint64_t, std::uint64_t> save(std::string_view path)
    {
        std::pair<std::uint64_t, std::uint64_t> saved{0, 0};
        check(echocart_session_save(handle_.get(), path.data(), path.size(), &saved.first,
                                    &saved.second));
        return saved;
    }

    /// Lets what is left go through; false when frames were left at the end of the time.
    bool stop(std::uint64_t timeout_micros)
    {
        return check(echocart_session_stop(handle_.get(), timeout_micros)) == ECHOCART_OK;
    }

    [[nodiscard]] echocart_session_t *get() const noexcept { return handle_.get(); }

private:
    owned<echocart_session_t, echocart_session_destroy> handle_;

public:
    frame_port frames;
    result_port results;
};

}  // namespace echocart

#endif  // ECHOCART_HPP

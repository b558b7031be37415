/* Sessions that cannot be had, with everything that is made before the refusal and must go again:
 * for valgrind. Nothing here loads ONNX Runtime. */

#include "echocart.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void refused(int line, uint32_t expected, const echocart_session_config_t *config)
{
    echocart_session_t *session = NULL;
    echocart_frame_port_t *frames = NULL;
    echocart_result_port_t *results = NULL;
    echocart_self_test_t report;
    char text[256];
    uint64_t bytes = 0;
    uint32_t found = echocart_session_create(config, &session, &frames, &results);

    if (found != expected || session != NULL || frames != NULL || results != NULL
        || echocart_self_test(config, sizeof report, &report) != expected
        || echocart_last_error(text, sizeof text, &bytes) != ECHOCART_OK || bytes == 0) {
        fprintf(stderr, "line %d: expected %u, found %u\n", line, (unsigned)expected,
                (unsigned)found);
        failures += 1;
    }
}

#define REFUSED(code, config) refused(__LINE__, code, config)

static echocart_session_config_t base(void)
{
    static const char PACKAGE[] = "/nowhere/package";
    static const char LIBRARY[] = "/nowhere/libonnxruntime.so";
    echocart_session_config_t config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.package_dir = PACKAGE;
    config.package_dir_bytes = sizeof PACKAGE - 1;
    config.library_path = LIBRARY;
    config.library_path_bytes = sizeof LIBRARY - 1;
    return config;
}

int main(void)
{
    static const char TOML[] = "[engine]\nunknown = 1\n";
    static const char TEXT[] = {'/', (char)0xFF};
    for (int at = 0; at < 20; at += 1) {
        echocart_session_config_t config = base();
        REFUSED(ECHOCART_PACKAGE_UNREADABLE, &config);
        config.config_toml = TOML;
        config.config_toml_bytes = sizeof TOML - 1;
        REFUSED(ECHOCART_CONFIG_INVALID, &config);
        config = base();
        config.package_dir = TEXT;
        config.package_dir_bytes = sizeof TEXT;
        REFUSED(ECHOCART_BAD_TEXT, &config);
        config = base();
        config.threads = 65;
        REFUSED(ECHOCART_BAD_ARGUMENT, &config);
        config = base();
        config.abi_version += 1;
        REFUSED(ECHOCART_ABI_MISMATCH, &config);
        config = base();
        config.struct_size -= 8;
        REFUSED(ECHOCART_BAD_STRUCT_SIZE, &config);
        REFUSED(ECHOCART_NULL_ARGUMENT, NULL);
    }
    return failures == 0 ? 0 : 1;
}

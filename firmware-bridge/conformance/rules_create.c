/* What no session can be made from, and that nothing is left behind. */

#include "kit.h"

#include <stdio.h>
#include <string.h>

static void expect_none(int line, uint32_t expected, const echocart_session_config_t *config)
{
    handles_t handles;
    kit_expect(line, expected, create(config, &handles));
    if (handles.session != NULL || handles.frames != NULL || handles.results != NULL) {
        kit_fail(line, "a handle was written without ECHOCART_OK");
        destroy(&handles);
    }
}

#define NO_SESSION(expected, config) expect_none(__LINE__, expected, config)

static void arguments(void)
{
    static const char bad_utf8[] = {'/', (char)0xFF, (char)0xFE};
    echocart_session_config_t config = plain_config();

    config.pace = 7;
    NO_SESSION(ECHOCART_BAD_ARGUMENT, &config);
    config = plain_config();
    config.allow_demonstration = 2;
    NO_SESSION(ECHOCART_BAD_ARGUMENT, &config);
    config = plain_config();
    config.package_dir = NULL;
    NO_SESSION(ECHOCART_NULL_ARGUMENT, &config);
    config.package_dir_bytes = 0;
    NO_SESSION(ECHOCART_BAD_ARGUMENT, &config);
    config = plain_config();
    config.library_path = bad_utf8;
    config.library_path_bytes = sizeof bad_utf8;
    NO_SESSION(ECHOCART_BAD_TEXT, &config);
    config.library_path_bytes = UINT64_MAX;
    NO_SESSION(ECHOCART_BAD_ARGUMENT, &config);
    config = config_of(kit.package, "libonnxruntime.so");
    NO_SESSION(ECHOCART_BAD_ARGUMENT, &config);
}

/* Nothing here needs a GPU: the CPU provider takes none of its memory, TensorRT cannot be limited. */
static void gpu_memory(void)
{
    handles_t handles;
    echocart_session_config_t config = plain_config();

    config.gpu_memory_bytes = 4096;
    set_toml(&config, toml_with("providers", "[\"CPU\"]"));
    NO_SESSION(ECHOCART_BAD_ARGUMENT, &config);
    config.gpu_memory_bytes = (uint64_t)1 << 30;
    if (CREATE(&config, &handles)) {
        destroy(&handles);
    }
    set_toml(&config, toml_with("providers", "[\"TensorRT\"]"));
    NO_SESSION(ECHOCART_UNSUPPORTED, &config);
    CHECK(error_says("TensorRT"));
}

static void configurations(void)
{
    char path[KIT_PATH_BYTES];
    echocart_session_config_t config = plain_config();

    set_toml(&config, "[engine]\nproviderz = 1\n");
    NO_SESSION(ECHOCART_CONFIG_INVALID, &config);
    CHECK(error_says("providerz"));
    set_toml(&config, toml_with("ring_frames", "-1"));
    NO_SESSION(ECHOCART_CONFIG_INVALID, &config);
    snprintf(path, sizeof path, "%s", copy_package("unsigned"));
    config = config_of(path, kit.library);
    set_toml(&config, toml_with("allow_unsigned", "false"));
    NO_SESSION(ECHOCART_PACKAGE_UNSIGNED, &config);
}

static void packages(void)
{
    char path[KIT_PATH_BYTES];
    char manifest[KIT_PATH_BYTES + 16];
    echocart_session_config_t config = config_of(scratch("none"), kit.library);

    NO_SESSION(ECHOCART_PACKAGE_UNREADABLE, &config);
    CHECK(error_says("none"));

    snprintf(path, sizeof path, "%s", copy_package("invalid"));
    snprintf(manifest, sizeof manifest, "%s/package.toml", path);
    replace_in_file(manifest, "family = ", "familiar = ");
    config = config_of(path, kit.library);
    NO_SESSION(ECHOCART_PACKAGE_INVALID, &config);

    snprintf(path, sizeof path, "%s", copy_package("later"));
    snprintf(manifest, sizeof manifest, "%s/package.toml", path);
    replace_in_file(manifest, "min_version = \"", "min_version = \"9");
    config = config_of(path, kit.library);
    NO_SESSION(ECHOCART_PACKAGE_UNSUPPORTED, &config);

    snprintf(path, sizeof path, "%s", copy_package("altered"));
    flip_a_weight(path);
    config = config_of(path, kit.library);
    NO_SESSION(ECHOCART_PACKAGE_ALTERED, &config);

    snprintf(path, sizeof path, "%s", copy_package("garbage"));
    garble_first_graph(path);
    config = config_of(path, kit.library);
    NO_SESSION(ECHOCART_ENGINE_FAILED, &config);
}

static void libraries(void)
{
    char path[KIT_PATH_BYTES];
    handles_t handles;
    echocart_session_config_t config = config_of(kit.package, scratch("no-library"));

    NO_SESSION(ECHOCART_LIBRARY_MISSING, &config);
    snprintf(path, sizeof path, "%s", scratch("text"));
    write_text(path, "not a library");
    config = config_of(kit.package, path);
    NO_SESSION(ECHOCART_LIBRARY_UNKNOWN, &config);

    /* A process of its own may load what it likes; two in this one may not be. */
    config = plain_config();
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    break_dlopen(1);
    NO_SESSION(ECHOCART_LIBRARY_FAILED, &config);
    break_dlopen(0);
    if (!CREATE(&config, &handles)) {
        return;
    }
    destroy(&handles);
    snprintf(path, sizeof path, "%s", scratch("another-onnxruntime.so"));
    copy_file(kit.library, path);
    config = config_of(kit.package, path);
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    NO_SESSION(ECHOCART_LIBRARY_CONFLICT, &config);
}

static void no_threads(void)
{
    handles_t handles;
    int threads = thread_count();
    echocart_session_config_t config = plain_config();

    set_toml(&config, toml_with("intra_op_threads", "1"));
    break_threads(1);
    NO_SESSION(ECHOCART_THREAD_FAILED, &config);
    break_threads(0);
    CHECK(thread_count() == threads);
    if (CREATE(&config, &handles)) {
        destroy(&handles);
    }
}

static void what_runs(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    handles_t handles;
    char label[256];
    uint64_t bytes = 0;

    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    CHECK(info.struct_size == sizeof info && info.trained >= 1 && info.trained <= 3);
    CHECK(memchr(info.package, 0, sizeof info.package) != NULL && strchr(info.package, '@') != NULL);
    CHECK(memchr(info.card, 0, sizeof info.card) != NULL);
    CHECK(memchr(info.library, 0, sizeof info.library) != NULL && info.library[0] != 0);
    CHECK(info.label_count > 0 && info.label_count <= ECHOCART_MAX_LABELS);
    for (uint32_t at = 0; at < info.label_count; at += 1) {
        EXPECT(ECHOCART_OK,
               echocart_result_label(handles.results, at, label, sizeof label, &bytes));
        CHECK(bytes > 0 && bytes == strlen(label));
    }
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_result_label(handles.results, info.label_count, label,
                                                        sizeof label, &bytes));
    kit_note("package %s, %s on %s, %s, echocart %s", info.package, info.model, info.provider,
             info.library, info.version);
    destroy(&handles);
}

const rule_t create_rules[] = {
    {"create.arguments", "a field with a value that is not allowed is refused", arguments},
    {"create.gpu_memory", "a limit on GPU memory is kept, or refused where it cannot be", gpu_memory},
    {"create.configuration", "a configuration that does not parse, or forbids the package, is refused",
     configurations},
    {"create.package", "a package that is missing, invalid, altered or garbage is refused by name",
     packages},
    {"create.library", "a runtime library that is missing, unknown, broken or a second one is refused",
     libraries},
    {"create.threads", "without threads there is no session and nothing is left behind", no_threads},
    {"create.info", "a session tells what it runs; every label has a text", what_runs},
    {NULL, NULL, NULL},
};

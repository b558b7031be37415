/* Packages that are broken on purpose, in a folder that goes with the rule. */

#define _GNU_SOURCE

#include "kit.h"
#include "sha256.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

/* A path in the rule's own folder, valid until the fourth call after this one. */
const char *scratch(const char *name)
{
    static char paths[4][KIT_PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 4];

    if (folder[0] == 0) {
        strcpy(folder, "/tmp/echocart-kit-XXXXXX");
        if (mkdtemp(folder) == NULL) {
            kit_fail(__LINE__, "cannot make a folder in /tmp");
        }
    }
    snprintf(path, KIT_PATH_BYTES, "%s/%s", folder, name);
    return path;
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *where)
{
    (void)found;
    (void)kind;
    (void)where;
    return remove(path);
}

void remove_scratch(void)
{
    if (folder[0] != 0) {
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        folder[0] = 0;
    }
}

static char *read_whole(const char *path, size_t *out_bytes)
{
    FILE *file = fopen(path, "rb");
    struct stat found;
    char *bytes = NULL;

    *out_bytes = 0;
    if (file == NULL || fstat(fileno(file), &found) != 0) {
        kit_fail(__LINE__, "cannot read %s", path);
    } else if ((bytes = malloc((size_t)found.st_size + 1)) != NULL) {
        *out_bytes = fread(bytes, 1, (size_t)found.st_size, file);
        bytes[*out_bytes] = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

static void write_whole(const char *path, const char *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0) {
        kit_fail(__LINE__, "cannot write %s", path);
    }
}

void write_text(const char *path, const char *text)
{
    write_whole(path, text, strlen(text));
}

void copy_file(const char *from, const char *to)
{
    size_t count = 0;
    char *bytes = read_whole(from, &count);
    if (bytes != NULL) {
        write_whole(to, bytes, count);
    }
    free(bytes);
}

/* Copies the package without its signature, which would not fit an altered manifest. */
const char *copy_package(const char *name)
{
    const char *to = scratch(name);
    DIR *files = opendir(kit.package);
    struct dirent *file;

    if (files == NULL || mkdir(to, 0700) != 0) {
        kit_fail(__LINE__, "cannot copy the package to %s", to);
        return to;
    }
    while ((file = readdir(files)) != NULL) {
        char source[KIT_PATH_BYTES + 300];
        char target[KIT_PATH_BYTES + 300];
        if (file->d_name[0] == '.' || strstr(file->d_name, ".sig") != NULL) {
            continue;
        }
        snprintf(source, sizeof source, "%s/%s", kit.package, file->d_name);
        snprintf(target, sizeof target, "%s/%s", to, file->d_name);
        copy_file(source, target);
    }
    closedir(files);
    return to;
}

/* Replaces the first occurrence; `from` must be there. */
void replace_in_file(const char *path, const char *from, const char *to)
{
    size_t count = 0;
    char *text = read_whole(path, &count);
    char *at = text == NULL ? NULL : strstr(text, from);

    if (at == NULL) {
        kit_fail(__LINE__, "expected %s in %s", from, path);
    } else {
        size_t before = (size_t)(at - text);
        size_t room = count + strlen(to) + 1;
        char *made = malloc(room);
        if (made != NULL) {
            snprintf(made, room, "%.*s%s%s", (int)before, text, to, at + strlen(from));
            write_text(path, made);
        }
        free(made);
    }
    free(text);
}

/* The first file of the folder whose name ends so. */
static int find_file(const char *package, const char *end, char *out, size_t room)
{
    DIR *files = opendir(package);
    struct dirent *file;
    int found = 0;

    while (files != NULL && !found && (file = readdir(files)) != NULL) {
        size_t length = strlen(file->d_name);
        if (length > strlen(end) && strcmp(file->d_name + length - strlen(end), end) == 0
            && strncmp(file->d_name, "golden", 6) != 0) {
            snprintf(out, room, "%s/%s", package, file->d_name);
            found = 1;
        }
    }
    if (files != NULL) {
        closedir(files);
    }
    if (!found) {
        kit_fail(__LINE__, "the package has no file *%s", end);
    }
    return found;
}

/* One byte of the weights changes; the manifest still lists the old hash. */
void flip_a_weight(const char *package)
{
    char path[KIT_PATH_BYTES + 300];
    size_t count = 0;
    char *bytes;

    if (!find_file(package, ".weights", path, sizeof path)) {
        return;
    }
    bytes = read_whole(path, &count);
    if (bytes != NULL && count > 0) {
        bytes[count / 2] ^= 1;
        write_whole(path, bytes, count);
    }
    free(bytes);
}

/* Every graph becomes garbage of the same length and the manifest lists the garbage's hash. */
void garble_first_graph(const char *package)
{
    char path[KIT_PATH_BYTES + 300];
    char manifest[KIT_PATH_BYTES + 300];
    char before[65];
    char after[65];
    size_t count = 0;
    char *bytes;

    snprintf(manifest, sizeof manifest, "%s/package.toml", package);
    if (!find_file(package, "encoder.fp32.onnx" + 7, path, sizeof path)) {
        return;
    }
    bytes = read_whole(path, &count);
    if (bytes != NULL) {
        sha256_hex((const uint8_t *)bytes, count, before);
        memset(bytes, 0xA5, count);
        sha256_hex((const uint8_t *)bytes, count, after);
        write_whole(path, bytes, count);
        replace_in_file(manifest, before, after);
    }
    free(bytes);
}

/* The first golden clip is compared with what the second expects; gives 0 when there is one only. */
int swap_golden_clips(const char *package)
{
    static const char KEY[] = "expected = \"";
    char manifest[KIT_PATH_BYTES + 300];
    char lines[2][256] = {"", ""};
    size_t count = 0;
    char *text;
    const char *at;

    snprintf(manifest, sizeof manifest, "%s/package.toml", package);
    text = read_whole(manifest, &count);
    at = text;
    for (int found = 0; at != NULL && found < 2; found += 1) {
        at = strstr(at, KEY);
        if (at != NULL) {
            snprintf(lines[found], sizeof lines[found], "%.*s", (int)strcspn(at, "\n"), at);
            at += sizeof KEY;
        }
    }
    free(text);
    if (lines[1][0] == 0) {
        return 0;
    }
    replace_in_file(manifest, lines[0], lines[1]);
    return 1;
}

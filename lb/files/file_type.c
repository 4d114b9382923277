/* file_type.c - see file_type.h. Types are IANA's where it has one; text is said to be UTF-8, which
 * browsers would guess otherwise. */
#include "lb/files/file_type.h"

#include "lb/base/assert.h"

#include <stdlib.h>

#define UTF8 "; charset=utf-8"

/* Sorted by ending. */
static const struct file_type types[] = {
    {"7z", "application/x-7z-compressed", false},
    {"aac", "audio/aac", false},
    {"apk", "application/vnd.android.package-archive", false},
    {"atom", "application/atom+xml", true},
    {"avi", "video/x-msvideo", false},
    {"avif", "image/avif", false},
    {"bin", "application/octet-stream", false},
    {"bmp", "image/bmp", true},
    {"bz2", "application/x-bzip2", false},
    {"cjs", "text/javascript" UTF8, true},
    {"css", "text/css" UTF8, true},
    {"csv", "text/csv" UTF8, true},
    {"deb", "application/vnd.debian.binary-package", false},
    {"dmg", "application/octet-stream", false},
    {"doc", "application/msword", false},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", false},
    {"eot", "application/vnd.ms-fontobject", true},
    {"epub", "application/epub+zip", false},
    {"flac", "audio/flac", false},
    {"gif", "image/gif", false},
    {"gz", "application/gzip", false},
    {"heic", "image/heic", false},
    {"htm", "text/html" UTF8, true},
    {"html", "text/html" UTF8, true},
    {"ico", "image/vnd.microsoft.icon", true},
    {"ics", "text/calendar" UTF8, true},
    {"iso", "application/octet-stream", false},
    {"jar", "application/java-archive", false},
    {"jpeg", "image/jpeg", false},
    {"jpg", "image/jpeg", false},
    {"js", "text/javascript" UTF8, true},
    {"json", "application/json", true},
    {"jsonld", "application/ld+json", true},
    {"jxl", "image/jxl", false},
    {"log", "text/plain" UTF8, true},
    {"m3u8", "application/vnd.apple.mpegurl", true},
    {"m4a", "audio/mp4", false},
    {"m4s", "video/iso.segment", false},
    {"m4v", "video/x-m4v", false},
    {"map", "application/json", true},
    {"md", "text/markdown" UTF8, true},
    {"mid", "audio/midi", false},
    {"mjs", "text/javascript" UTF8, true},
    {"mkv", "video/x-matroska", false},
    {"mov", "video/quicktime", false},
    {"mp3", "audio/mpeg", false},
    {"mp4", "video/mp4", false},
    {"mpd", "application/dash+xml", true},
    {"mpeg", "video/mpeg", false},
    {"odp", "application/vnd.oasis.opendocument.presentation", false},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet", false},
    {"odt", "application/vnd.oasis.opendocument.text", false},
    {"oga", "audio/ogg", false},
    {"ogg", "audio/ogg", false},
    {"ogv", "video/ogg", false},
    {"opus", "audio/ogg", false},
    {"otf", "font/otf", true},
    {"pdf", "application/pdf", false},
    {"png", "image/png", false},
    {"ppt", "application/vnd.ms-powerpoint", false},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", false},
    {"ps", "application/postscript", true},
    {"rar", "application/vnd.rar", false},
    {"rpm", "application/x-rpm", false},
    {"rss", "application/rss+xml", true},
    {"rtf", "application/rtf", true},
    {"svg", "image/svg+xml", true},
    {"tar", "application/x-tar", false},
    {"tgz", "application/gzip", false},
    {"tif", "image/tiff", false},
    {"tiff", "image/tiff", false},
    {"toml", "application/toml", true},
    {"ts", "video/mp2t", false},
    {"ttf", "font/ttf", true},
    {"txt", "text/plain" UTF8, true},
    {"vtt", "text/vtt" UTF8, true},
    {"wasm", "application/wasm", true},
    {"wav", "audio/vnd.wave", false},
    {"weba", "audio/webm", false},
    {"webm", "video/webm", false},
    {"webmanifest", "application/manifest+json", true},
    {"webp", "image/webp", false},
    {"woff", "font/woff", false},
    {"woff2", "font/woff2", false},
    {"xhtml", "application/xhtml+xml", true},
    {"xls", "application/vnd.ms-excel", false},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false},
    {"xml", "application/xml", true},
    {"xsl", "application/xslt+xml", true},
    {"xz", "application/x-xz", false},
    {"yaml", "application/yaml", true},
    {"yml", "application/yaml", true},
    {"zip", "application/zip", false},
    {"zst", "application/zstd", false},
};

static const struct file_type unknown = {"", "application/octet-stream", false};

static int compare(const void *key, const void *element)
{
    const struct str *ending = key;
    const char *other = ((const struct file_type *)element)->ending;

    for (size_t i = 0; i < ending->len; i++) {
        char c = ending->p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if (c != other[i]) /* also at its end */
            return (unsigned char)c < (unsigned char)other[i] ? -1 : 1;
    }
    return other[ending->len] == '\0' ? 0 : -1;
}

const struct file_type *file_type_of(struct str path)
{
    const char *slash = memrchr(path.p, '/', path.len);
    const char *name = slash != NULL ? slash + 1 : path.p;
    size_t len = (size_t)(path.p + path.len - name);
    const char *dot = memrchr(name, '.', len);

    if (dot == NULL || dot == name)
        return &unknown;
    struct str ending = {dot + 1, (size_t)(name + len - dot - 1)};
    const struct file_type *t =
        bsearch(&ending, types, ARRAY_LEN(types), sizeof(types[0]), compare);
    return t != NULL ? t : &unknown;
}

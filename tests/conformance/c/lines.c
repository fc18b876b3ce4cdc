#include "lines.h"

#include <stdint.h>
#include <string.h>

EvenhandText text_of(const char *terminated) {
  return (EvenhandText){(const uint8_t *)terminated, strlen(terminated)};
}

/* The code point at `at`, which is moved behind it. The library gives UTF-8 only. */
static uint32_t next_code_point(EvenhandText text, size_t *at) {
  uint8_t first = text.data[(*at)++];
  int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  uint32_t point = more == 0 ? first : (uint32_t)(first & (0x3f >> more));
  for (; more > 0 && *at < text.len; more--) {
    point = (point << 6) | (text.data[(*at)++] & 0x3fu);
  }
  return point;
}

void write_text(FILE *out, EvenhandText text) {
  if (text.data == NULL) {
    fputs("null", out);
    return;
  }
  fputc('"', out);
  for (size_t at = 0; at < text.len;) {
    uint32_t point = next_code_point(text, &at);
    switch (point) {
      case '"': fputs("\\\"", out); break;
      case '\\': fputs("\\\\", out); break;
      case '\b': fputs("\\b", out); break;
      case '\f': fputs("\\f", out); break;
      case '\n': fputs("\\n", out); break;
      case '\r': fputs("\\r", out); break;
      case '\t': fputs("\\t", out); break;
      default:
        if (point >= 0x20 && point <= 0x7e) {
          fputc((int)point, out);
        } else if (point < 0x10000) {
          fprintf(out, "\\u%04x", (unsigned)point);
        } else {
          point -= 0x10000;
          fprintf(out, "\\u%04x\\u%04x", (unsigned)(0xd800 + (point >> 10)), (unsigned)(0xdc00 + (point & 0x3ff)));
        }
    }
  }
  fputc('"', out);
}

void write_name(FILE *out, bool first, const char *name) { fprintf(out, "%s\"%s\":", first ? "" : ",", name); }

/* A range coder of 48 bits, reading or writing: the same walk over a message does both. FORMAT.md, "Range coder". */
#ifndef SURP_CODER_H
#define SURP_CODER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { CUT = 1, MALFORMED = 2 } ending; /* the bytes end (the budget is used up); a limit is broken */

typedef struct {
    bool writing;
    const uint8_t *data; /* reading: the body; */
    uint8_t *to;         /* writing: where it goes, */
    size_t length;       /* and how long it is, or may be */
    size_t at;           /* bytes taken from it, or put there; taken ones may be past its end */
    uint64_t range, low; /* reading: low is the code less low, if the missing bytes are 0, */
    uint64_t gap;        /* and this much more if they are 255 */
    bool spare;          /* reading: all symbols so far are determined without the last byte */
    int64_t credit;      /* of work */
    jmp_buf end;         /* where an ending goes */
} coder;

void coder_read(coder *c, const uint8_t *data, size_t length, uint64_t coordinates);
void coder_write(coder *c, uint8_t *to, size_t room, uint64_t coordinates);
size_t coder_finish(coder *c); /* writes what determines the last symbol; the length, or 0 if there is no room */

/* Takes work off the credit. */
void coder_pay(coder *c, uint64_t work);

/* The number in [0, total) that lies in the next symbol's range; any number if it is writing. */
uint64_t coder_target(const coder *c, uint64_t total);

/* Reads or writes the symbol [cum, cum + freq) of total. */
void coder_symbol(coder *c, uint64_t cum, uint64_t freq, uint64_t total);

/* Each of these returns what is read; if it writes, that is the value. */
uint32_t coder_bits(coder *c, unsigned width, uint32_t value);
uint32_t coder_flag(coder *c, uint64_t zeros, uint64_t ones, uint32_t value);
uint32_t coder_uint(coder *c, uint32_t value);             /* of at most 24 bits */
int32_t coder_change(coder *c, int32_t value);             /* even and odd numbers stand for rises and falls */
uint32_t coder_zigzag(int32_t value);

/* A flag whose counts learn. */
typedef struct {
    uint16_t zeros, ones;
} counts;
uint32_t coder_counted(coder *c, counts *learnt, uint32_t value);

#endif

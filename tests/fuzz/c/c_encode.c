/* libFuzzer's entry: any update and budget. What is written fits, decodes, and takes nothing away from the truth. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 12, COLUMNS = 9, BIAS = 12, COORDINATES = ROWS * COLUMNS + BIAS, MOST_BUDGET = 600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double squares(const float *values, const float *less)
{
    double sum = 0;
    for (int i = 0; i < COORDINATES; i++)
        sum += pow((double)values[i] - (less ? (double)less[i] : 0), 2);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const surp_array arrays[] = {{ROWS, COLUMNS}, {1, BIAS}};
    float update[COORDINATES] = {0}, told[COORDINATES], again[COORDINATES];
    uint8_t message[MOST_BUDGET];
    if (size < 3)
        return 0;
    size_t budget = 5 + (data[0] | (size_t)data[1] << 8) % (MOST_BUDGET - 4), length;
    memcpy(update, data + 2, size - 2 < sizeof update ? size - 2 : sizeof update);
    surp_model model = {.arrays = arrays, .array_count = 2, .fingerprint = 7};
    static void *workspace;
    if (!workspace)
        workspace = malloc(surp_workspace(&model));
    surp_status status = surp_encode(update, budget, &model, message, &length, told, workspace);
    bool finite = true;
    for (int i = 0; i < COORDINATES; i++)
        finite = finite && isfinite(update[i]);
    if (status != (finite ? SURP_OK : SURP_INVALID))
        abort();
    if (finite) {
        double whole = squares(update, NULL);
        if (length > budget || surp_decode(message, length, &model, again, workspace) != SURP_OK
            || memcmp(told, again, sizeof told) != 0 || (isfinite(whole) && squares(update, told) > whole * (1 + 1e-6)))
            abort();
    }
    return 0;
}

/* What every family starts with: the device's vector type and the activations. VECTOR (4, 8 or 16) and LOCAL come from
 * the build's options. No fast-math: NaN and infinity pass as IEEE 754 says. SPDX-License-Identifier: Apache-2.0 */
#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define VEC         JOIN(float, VECTOR)
#define VLOAD       JOIN(vload, VECTOR)
#define VSTORE      JOIN(vstore, VECTOR)

#define ACT_RELU 1
#define ACT_TANH 2

/* a comparison, not fmax: fmax would turn a NaN into 0 and hide it */
static inline float activate(float v, int act)
{
    if (act == ACT_RELU) return v < 0.0f ? 0.0f : v;
    return act == ACT_TANH ? tanh(v) : v;
}

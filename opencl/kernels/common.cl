/* What every family starts with: the device's vector type and the activations. VECTOR (4, 8 or 16) and LOCAL come from
 * the build's options. No fast-math: NaN and infinity pass as IEEE 754 says. SPDX-License-Identifier: Apache-2.0 */
#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define VEC         JOIN(float, VECTOR)
#define VLOAD       JOIN(vload, VECTOR)
#define VSTORE      JOIN(vstore, VECTOR)

static inline float sum_lanes(VEC v)
{
    float part[VECTOR], sum = 0.0f;
    VSTORE(v, 0, part);
    for (int i = 0; i < VECTOR; i++) sum += part[i];
    return sum;
}

/* exp for one float or VECTOR of them: 2^n * p(x - n log 2) with Cephes' polynomial, 1e-7 relative, a third of the time
 * that vendors' exp takes for vectors. 0 below the smallest normal number, infinity from 88.38 on. */
#define EXPONENTIAL(name, T, AS_INT, AS_T)                                                                             \
    static inline T name(T x)                                                                                          \
    {                                                                                                                  \
        const T magic = 12582912.0f, n = fma(x, (T)(1.44269504f), magic), whole = n - magic; /* rounds to integers */  \
        const T r = fma(whole, (T)(2.12194440e-4f), fma(whole, (T)(-0.693359375f), x));                                \
        T p = fma(r, (T)(1.9875691500e-4f), (T)(1.3981999507e-3f));                                                    \
        p = fma(r, p, (T)(8.3334519073e-3f));                                                                          \
        p = fma(r, p, (T)(4.1665795894e-2f));                                                                          \
        p = fma(r, p, (T)(1.6666665459e-1f));                                                                          \
        p = fma(r, p, (T)(5.0000001201e-1f));                                                                          \
        p = fma(r * r, p, r + 1.0f) * AS_T((AS_INT(n) + 127) << 23);                                                   \
        p = select(p, (T)(INFINITY), x > (T)(88.37f));                                                                 \
        return select(p, (T)(0.0f), x < (T)(-87.33f));                                                                 \
    }
EXPONENTIAL(exponential, float, as_int, as_float)
EXPONENTIAL(exponential_vec, VEC, JOIN(as_int, VECTOR), JOIN(as_float, VECTOR))

/* cot_activation of opencl.h */
#define ACT_RELU       1
#define ACT_TANH       2
#define ACT_GELU       3
#define ACT_QUICK_GELU 4
#define ACT_ELU        5
#define ACT_SIGMOID    6

/* Phi(x), the normal distribution, from erfc(z) = t * exp(-z² + p(t)), t = 1 / (1 + z/2), z = |x| / sqrt 2: a Chebyshev fit with a
 * relative error of 1.2e-7 everywhere (Press et al., Numerical Recipes, 6.2), so that nothing cancels for x < 0. */
#define NORMAL(name, exp_of, T)                                                                                        \
    static inline T name(T x)                                                                                          \
    {                                                                                                                  \
        const T z = fabs(x) * 0.70710678f, t = 1.0f / fma(z, (T)(0.5f), (T)(1.0f));                                    \
        T p = fma(t, (T)(0.17087277f), (T)(-0.82215223f));                                                             \
        p = fma(t, p, (T)(1.48851587f));                                                                               \
        p = fma(t, p, (T)(-1.13520398f));                                                                              \
        p = fma(t, p, (T)(0.27886807f));                                                                               \
        p = fma(t, p, (T)(-0.18628806f));                                                                              \
        p = fma(t, p, (T)(0.09678418f));                                                                               \
        p = fma(t, p, (T)(0.37409196f));                                                                               \
        p = fma(t, p, (T)(1.00002368f));                                                                               \
        p = fma(t, p, (T)(-1.26551223f));                                                                              \
        const T below = 0.5f * t * exp_of(fma(-0.5f * x, x, p));                                                       \
        return select(below, 1.0f - below, x > (T)(0.0f));                                                             \
    }
NORMAL(normal_below, exponential, float)
NORMAL(normal_below_vec, exponential_vec, VEC)

/* ReLU is a comparison, not fmax: fmax would turn a NaN into 0 and hide it */
#define ACTIVATE(name, exp_of, normal_of, T)                                                                           \
    static inline T name(T v, int act)                                                                                 \
    {                                                                                                                  \
        if (act == ACT_RELU) return select(v, (T)(0.0f), v < (T)(0.0f));                                               \
        if (act == ACT_TANH) return tanh(v);                                                                           \
        if (act == ACT_GELU) return v * normal_of(v);                                                                  \
        if (act == ACT_QUICK_GELU) return v / (1.0f + exp_of(-1.702f * v));                                            \
        if (act == ACT_ELU) return select(expm1(v), v, v > (T)(0.0f));                                                 \
        if (act == ACT_SIGMOID) return 1.0f / (1.0f + exp_of(-v));                                                     \
        return v;                                                                                                      \
    }
ACTIVATE(activate, exponential, normal_below, float)
ACTIVATE(activate_vec, exponential_vec, normal_below_vec, VEC)

/* A vector of which only the first n floats are there: the rest reads as 0 and is not written. */
static inline VEC load_some(global const float *x, int n)
{
    float part[VECTOR];
    if (n >= VECTOR) return VLOAD(0, x);
    for (int i = 0; i < VECTOR; i++) part[i] = i < n ? x[i] : 0.0f;
    return VLOAD(0, part);
}

static inline void store_some(VEC v, global float *y, int n)
{
    float part[VECTOR];
    if (n >= VECTOR) {
        VSTORE(v, 0, y);
        return;
    }
    VSTORE(v, 0, part);
    for (int i = 0; i < n; i++) y[i] = part[i];
}

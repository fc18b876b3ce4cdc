//! Gauss–Legendre quadrature with 16 points, and cumulative integrals at those points.
//!
//! Exact for polynomials to the degree of 31. Used on panels over which a log-concave density falls by a few powers of e, where
//! it gives all digits of an `f64`.

/// Points of one panel.
pub const POINTS: usize = 16;

/// The positive zeros of P₁₆ with their weights (DLMF 3.5.15), from mpmath.
const HALF: [(f64, f64); POINTS / 2] = [
    (0.09501250983763744, 0.1894506104550685),
    (0.2816035507792589, 0.18260341504492358),
    (0.45801677765722737, 0.16915651939500254),
    (0.6178762444026438, 0.14959598881657674),
    (0.755404408355003, 0.12462897125553388),
    (0.8656312023878318, 0.09515851168249279),
    (0.9445750230732326, 0.062253523938647894),
    (0.9894009349916499, 0.027152459411754096),
];

/// The points, ascending on −1 to 1, with their weights.
pub fn points() -> [(f64, f64); POINTS] {
    let mut all = [(0.0, 0.0); POINTS];
    let (below, above) = all.split_at_mut(POINTS / 2);
    for ((low, high), (x, weight)) in below.iter_mut().rev().zip(above).zip(HALF) {
        *low = (-x, weight);
        *high = (x, weight);
    }
    all
}

/// ∫ f over a panel of this width from `start` on.
pub fn panel(start: f64, width: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (middle, half) = (start + 0.5 * width, 0.5 * width);
    let sum: f64 = (HALF.iter())
        .map(|(x, weight)| weight * (f(middle - half * x) + f(middle + half * x)))
        .sum();
    half * sum
}

/// (Pₗ, Pₗ₊₁) at x from (Pₗ₋₁, Pₗ).
fn next(l: f64, x: f64, before: f64, at: f64) -> (f64, f64) {
    (at, ((2.0 * l + 1.0) * x * at - l * before) / (l + 1.0))
}

/// The integrals from −1 to each of the points of the polynomial through values at all of them, as a matrix: row by point,
/// columns by value. Σₗ ½Pₗ(xⱼ)(Pₗ₊₁(xᵢ) − Pₗ₋₁(xᵢ))·wⱼ, since ∫Pₗ = (Pₗ₊₁ − Pₗ₋₁)/(2l + 1) (DLMF 18.17.1 and 18.9.2).
pub fn cumulative() -> [[f64; POINTS]; POINTS] {
    let points = points();
    let mut matrix = [[0.0; POINTS]; POINTS];
    for (row, (xi, _)) in matrix.iter_mut().zip(points) {
        for (cell, (xj, weight)) in row.iter_mut().zip(points) {
            // P of degrees l − 1, l, l + 1; ∫P₀ = x + 1.
            let (mut at, mut after, mut at_j, mut after_j) = (1.0, xi, 1.0, xj);
            let mut sum = 0.5 * (xi + 1.0);
            for l in 1..POINTS as u32 {
                let l = f64::from(l);
                let before = at;
                (at, after) = next(l, xi, at, after);
                (at_j, after_j) = next(l, xj, at_j, after_j);
                sum += 0.5 * at_j * (after - before);
            }
            *cell = sum * weight;
        }
    }
    matrix
}

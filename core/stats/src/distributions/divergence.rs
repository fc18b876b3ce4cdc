//! What one cell gives to a Kullback–Leibler divergence, without cancellation near zero.

/// (1 + d) ln(1 + d) − d for d ≥ −1, so that Σ qᵢ ln(qᵢ/pᵢ) = Σ pᵢ·divergence(qᵢ/pᵢ − 1) with terms that are never negative
/// (Loader, "Fast and Accurate Computation of Binomial Probabilities", 2000, calls it the deviance part). Near zero by its series
/// d²/2 − d³/6 + d⁴/12 − …, since the two parts cancel there.
pub fn divergence(d: f64) -> f64 {
    if d.abs() > 0.05 {
        return if d <= -1.0 { 1.0 } else { (1.0 + d) * libm::log1p(d) - d };
    }
    let (mut power, mut sum, mut k) = (d * d, 0.0, 2.0);
    while k < 20.0 {
        sum += power / (k * (k - 1.0));
        power *= -d;
        k += 1.0;
    }
    sum
}

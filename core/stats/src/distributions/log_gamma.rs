//! What Stirling's formula leaves over of ln Γ.
//!
//! Differences of ln Γ at large arguments lose all digits when each is rounded first (ln Γ(10¹⁰) is 2·10¹¹). Written with
//! Stirling's formula the large parts can be taken together exactly, and only this small remainder is computed by itself.

/// δ(x) = ln Γ(x) − (x − ½) ln x + x − ½ ln 2π for x > 0: the series of DLMF 5.11.1 from 10 on, reached from below by
/// δ(x) = δ(x + 1) + (x + ½) ln(1 + 1/x) − 1, which follows from Γ(x + 1) = xΓ(x). Accurate to 10⁻¹⁶ beside 1.
pub fn stirling_remainder(x: f64) -> f64 {
    let (mut at, mut below) = (x, 0.0);
    while at < 10.0 {
        below += (at + 0.5) * libm::log1p(1.0 / at) - 1.0;
        at += 1.0;
    }
    let r = 1.0 / (at * at);
    // B₂ₖ/(2k(2k − 1)) for k = 1 to 8.
    let series = 1.0 / 12.0
        - r * (1.0 / 360.0
            - r * (1.0 / 1260.0
                - r * (1.0 / 1680.0
                    - r * (1.0 / 1188.0 - r * (691.0 / 360_360.0 - r * (1.0 / 156.0 - r * 3617.0 / 122_400.0))))));
    below + series / at
}

//! The beta distribution against the tables of `tests/stats-oracle` (30-digit quadrature of the density, checked against SciPy).

mod table;

use evenhand_stats::Unavailable;
use evenhand_stats::distributions::beta::Beta;
use evenhand_stats::distributions::gauss_legendre::{cumulative, panel, points};
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Table {
    tails: Vec<(f64, f64, f64, f64, f64)>,
    densities: Vec<(f64, f64, f64, f64)>,
}

#[test]
fn tails_densities_and_quantiles() {
    let table: Table = table::read("beta.json");
    let (mut worst, mut worst_quantile, mut worst_density) = (Worst::new(1e-13), Worst::new(1e-12), Worst::new(1e-12));
    for (a, b, x, below, above) in table.tails {
        let beta = Beta::new(a, b).unwrap();
        let what = format!("Beta({a}, {b}) at {x:e}");
        // A tail is the exponential of a sum, so its digits count beside its logarithm.
        for (ours, expected) in [(beta.lower_tail(x), below), (beta.upper_tail(x), above)] {
            worst.see_on_scale(ours, expected, expected * (1.0 - expected.ln()), &what);
        }
        // Where a tail of 53 bits fixes x to 53 bits, its quantile is x.
        for (tail, quantile) in [(below, beta.lower_quantile(below)), (above, beta.upper_quantile(above))] {
            if tail / (x * beta.density(x)) < 1.0 && tail < 1.0 {
                worst_quantile.see(quantile.unwrap(), x, &what);
            }
        }
    }
    for (a, b, x, expected) in table.densities {
        let (ours, scale) = (
            Beta::new(a, b).unwrap().density(x),
            expected * (1.0 + expected.ln().abs()),
        );
        worst_density.see_on_scale(ours, expected, scale, &format!("Beta({a}, {b}) at {x:e}"));
    }
    worst.finish(800);
    worst_quantile.finish(550);
    worst_density.finish(400);
}

#[test]
fn ends_of_the_domain() {
    let beta = Beta::new(3.0, 7.0).unwrap();
    assert_eq!(
        (beta.lower_tail(0.0), beta.upper_tail(0.0), beta.density(0.0)),
        (0.0, 1.0, 0.0)
    );
    assert_eq!(
        (beta.lower_tail(1.5), beta.upper_tail(1.5), beta.density(-1.0)),
        (1.0, 0.0, 0.0)
    );
    assert!(beta.lower_tail(f64::NAN).is_nan() && beta.upper_tail(f64::NAN).is_nan());
    for bad in [0.49, 2.1e10, f64::NAN, f64::INFINITY] {
        assert_eq!(Beta::new(bad, 1.0), Err(Unavailable::OutOfDomain));
        assert_eq!(Beta::new(1.0, bad), Err(Unavailable::OutOfDomain));
    }
    for bad in [0.0, 1.0, 1e-301, f64::NAN] {
        assert_eq!(beta.upper_quantile(bad), Err(Unavailable::OutOfDomain));
        assert_eq!(beta.lower_quantile(bad), Err(Unavailable::OutOfDomain));
    }
    // Beta(1, b): P(X > x) = (1 − x)^b; Beta(½, ½): P(X < x) = 2 asin(√x)/π.
    let mut worst = Worst::new(1e-13);
    worst.see(
        Beta::new(1.0, 2e10).unwrap().upper_quantile(1e-300).unwrap(),
        -(1e-300f64.ln() / 2e10).exp_m1(),
        "b",
    );
    let arcsine = Beta::new(0.5, 0.5).unwrap();
    worst.see(
        arcsine.lower_tail(1e-300),
        2e-150 / std::f64::consts::PI,
        "a tiny place",
    );
    worst.see(
        arcsine.lower_quantile(1e-150).unwrap(),
        (0.5e-150 * std::f64::consts::PI).powi(2),
        "a tiny tail",
    );
    worst.see(
        arcsine.upper_quantile(0.25).unwrap(),
        (0.375 * std::f64::consts::PI).sin().powi(2),
        "an upper quarter",
    );
    worst.finish(4);
}

/// Sixteen points are exact for polynomials: single panels to the degree of 31, cumulative ones to 15.
#[test]
fn quadrature() {
    let mut worst = Worst::new(2e-15);
    worst.see(
        panel(0.5, 2.0, |x| x.powi(31)),
        (2.5f64.powi(32) - 0.5f64.powi(32)) / 32.0,
        "a panel",
    );
    for (row, (x, _)) in cumulative().iter().zip(points()) {
        let ours: f64 = row
            .iter()
            .zip(points())
            .map(|(cell, (x, _))| cell * (x + 2.0).powi(15))
            .sum();
        worst.see_on_scale(
            ours,
            ((x + 2.0).powi(16) - 1.0) / 16.0,
            3f64.powi(16) / 16.0,
            "a cumulative integral",
        );
    }
    worst.finish(17);
}

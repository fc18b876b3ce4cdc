//! Tails and quantiles against the tables of `tests/stats-oracle` (mpmath to 50 digits, checked against SciPy).

mod table;

use evenhand_stats::Unavailable;
use evenhand_stats::distributions::normal::{chi_square_upper_tail, normal_upper_quantile, normal_upper_tail};
use evenhand_stats::distributions::student_t::StudentT;
use serde::Deserialize;
use table::Worst;

#[derive(Deserialize)]
struct Distributions {
    t_upper_tail: Vec<(f64, f64, f64)>,
    t_upper_quantile: Vec<(f64, f64, f64)>,
    normal_upper_tail: Vec<(f64, f64)>,
    normal_upper_quantile: Vec<(f64, f64)>,
    chi_square_upper_tail: Vec<(u32, f64, f64)>,
}

fn table() -> Distributions {
    table::read("distributions.json")
}

#[test]
fn student_t_tails() {
    let mut worst = Worst::new(1e-12);
    for (df, t, expected) in table().t_upper_tail {
        let tail = StudentT::new(df).unwrap().upper_tail(t);
        worst.see(tail, expected, &format!("P(T > {t}), {df} degrees of freedom"));
    }
    worst.finish(350);
}

#[test]
fn student_t_quantiles() {
    let mut worst = Worst::new(1e-12);
    for (df, tail, expected) in table().t_upper_quantile {
        let quantile = StudentT::new(df).unwrap().upper_quantile(tail).unwrap();
        worst.see(
            quantile,
            expected,
            &format!("t of upper tail {tail}, {df} degrees of freedom"),
        );
    }
    worst.finish(350);
}

#[test]
fn normal_and_chi_square() {
    let table = table();
    let mut worst = Worst::new(1e-12);
    for (z, expected) in table.normal_upper_tail {
        worst.see(normal_upper_tail(z), expected, &format!("P(Z > {z})"));
    }
    for (tail, expected) in table.normal_upper_quantile {
        worst.see(
            normal_upper_quantile(tail).unwrap(),
            expected,
            &format!("z of upper tail {tail}"),
        );
    }
    let mut many_degrees = Worst::new(1e-11);
    for (df, x, expected) in table.chi_square_upper_tail {
        let worst = if df > 100 { &mut many_degrees } else { &mut worst };
        let tail = chi_square_upper_tail(x, df).unwrap();
        worst.see(tail, expected, &format!("chi-square {x}, {df} degrees of freedom"));
    }
    worst.finish(100);
    many_degrees.finish(20);
}

/// Far beyond the tables nothing panics, and the limits are right.
#[test]
fn ends_of_the_domain() {
    let t = |df: f64| StudentT::new(df).unwrap();
    assert_eq!(t(5.0).upper_tail(f64::INFINITY), 0.0);
    assert_eq!(t(5.0).upper_tail(f64::NEG_INFINITY), 1.0);
    assert_eq!(t(5.0).upper_tail(0.0), 0.5);
    assert!(t(5.0).upper_tail(f64::NAN).is_nan());
    // Cauchy: P(T > t) tends to 1/(πt).
    let cauchy = t(1.0).upper_tail(1e307) * 1e307;
    assert!((cauchy * std::f64::consts::PI - 1.0).abs() < 1e-12, "{cauchy}");
    assert_eq!(t(f64::INFINITY).upper_tail(38.0), t(1e30).upper_tail(38.0));
    assert_eq!(t(1e9).upper_tail(1e300), 0.0);
    assert_eq!(t(3.0).upper_quantile(0.5), Ok(0.0));
    for bad in [0.0, -1.0, 1.0, 1e-301, f64::NAN] {
        assert_eq!(t(3.0).upper_quantile(bad), Err(Unavailable::OutOfDomain));
        assert_eq!(normal_upper_quantile(bad), Err(Unavailable::OutOfDomain));
    }
    for bad in [0.999, 0.0, -4.0, f64::NAN] {
        assert_eq!(StudentT::new(bad), Err(Unavailable::OutOfDomain));
    }
    assert_eq!(chi_square_upper_tail(-1.0, 1), Err(Unavailable::OutOfDomain));
    assert_eq!(chi_square_upper_tail(1.0, 0), Err(Unavailable::OutOfDomain));
    assert_eq!(chi_square_upper_tail(0.0, 3), Ok(1.0));
    assert_eq!(chi_square_upper_tail(f64::INFINITY, 3), Ok(0.0));
    assert_eq!(chi_square_upper_tail(1e6, 1), Ok(0.0));
}

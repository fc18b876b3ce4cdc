//! Two independent beta variables compared: P(T < ρC) and its like, to all digits.
//!
//! With y = logit C, P(T < ρC) = ∫ f_C(y) F_T(y) dy, where F_T(y) = P(T < ρp(y)). Both densities of y are log-concave (or nearly
//! so), hence the product f_C·f_T has one peak, and all that counts lies about it. From there the march goes left until nothing
//! counts any more, and then right, panel by panel: F_T, and the integral of F_T·dp that the expected loss needs, are
//! accumulated at the points of each panel by the matrix of cumulative Gauss–Legendre integrals. Every term is positive, so that
//! small probabilities have all their digits. A density that is spent (left of its mode for C, right of it for T) no longer
//! narrows the panels.

use crate::distributions::beta::{Beta, Place, panel_width};
use crate::distributions::gauss_legendre::{POINTS, cumulative, points};

/// A factor e⁻⁴⁴, about 10⁻¹⁹, counts as nothing.
const NOTHING: f64 = 44.0;

/// Where the two densities at the peak of their product are below e⁻⁶⁵⁰, so is every result: 0.
const UNDERFLOW: f64 = -650.0;

/// What a march finds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Compared {
    /// P(T < ρC).
    pub below: f64,
    /// Its derivative by ln ρ, the density of ln(T/C) at ln ρ.
    pub density: f64,
    /// E max(ρC − T, 0)/ρ.
    pub shortfall: f64,
}

/// The matrix and the points that all marches share.
pub(crate) struct March {
    matrix: [[f64; POINTS]; POINTS],
    points: [(f64, f64); POINTS],
}

/// One comparison, seen from the peak of the product.
struct Scene {
    c: Beta,
    t: Beta,
    rho: f64,
    /// C's place at the peak, and T's: ρ times it.
    at_c: Place,
    at_t: Place,
    slope_c: f64,
    slope_t: f64,
    /// How far the modes are above the densities at the peak, in logarithms.
    mode_c: f64,
    mode_t: f64,
}

/// Both log-densities at u beyond the peak, relative to there, and their slopes and curvatures.
struct View {
    log_c: f64,
    log_t: f64,
    slope_c: f64,
    slope_t: f64,
    curvature_c: f64,
    curvature_t: f64,
    place: Place,
}

impl Scene {
    fn new(c: Beta, t: Beta, rho: f64) -> Self {
        let at_c = peak(c, t, rho);
        let at_t = scaled(at_c, rho);
        let mode = |beta: Beta, at: Place| {
            let n = beta.a() + beta.b();
            let mode = Place {
                p: beta.a() / n,
                q: beta.b() / n,
            };
            beta.log_density(mode) - beta.log_density(at)
        };
        Self {
            slope_c: c.slope(at_c),
            slope_t: t.slope(at_t),
            mode_c: mode(c, at_c),
            mode_t: mode(t, at_t),
            c,
            t,
            rho,
            at_c,
            at_t,
        }
    }

    /// ln f_C + ln f_T at the peak, as densities of y.
    fn log_height(&self) -> f64 {
        self.c.log_density(self.at_c) + self.t.log_density(self.at_t) + libm::log(self.at_c.q) - libm::log(self.at_t.q)
    }

    fn view(&self, u: f64) -> View {
        let (nc, nt) = (self.c.a() + self.c.b(), self.t.a() + self.t.b());
        let place = self.at_c.moved(u);
        let curve = self.at_c.curve(u);
        // p(u) − p(0), and with it the change of ln p, ln(1 − p) and ln(1 − ρp), none as a difference of large numbers.
        let risen = self.at_c.p * libm::expm1(u) * place.q;
        let log_p = self.at_c.q * u - curve;
        let log_q = -self.at_c.p * u - curve;
        let log_qt = libm::log1p((-self.rho * risen / self.at_t.q).max(-1.0));
        let moved_t = if self.rho == 1.0 { u } else { log_p - log_qt };
        let place_t = self.at_t.moved(moved_t);
        let slope_c = self.slope_c - nc * risen;
        // How fast logit(ρp) moves with logit p: q/(1 − ρp).
        let speed = place.q / place_t.q;
        let turning = if self.rho == 1.0 { 0.0 } else { log_q - log_qt };
        View {
            log_c: self.slope_c * u - nc * curve,
            log_t: self.slope_t * moved_t - nt * self.at_t.curve(moved_t) + turning,
            slope_c,
            slope_t: (self.slope_t - nt * self.rho * risen) * speed,
            curvature_c: nc * place.p * place.q,
            curvature_t: nt * place_t.p * place_t.q * speed,
            place,
        }
    }
}

impl View {
    /// Left of its mode and far below it: what is further left of C counts for nothing.
    fn c_spent(&self, scene: &Scene) -> bool {
        self.slope_c > 0.0 && self.log_c < scene.mode_c - NOTHING
    }

    fn t_spent(&self, scene: &Scene) -> bool {
        self.slope_t < 0.0 && self.log_t < scene.mode_t - NOTHING
    }

    fn width(&self, with_c: bool, with_t: bool) -> f64 {
        let (slope_c, curvature_c) = if with_c {
            (self.slope_c, self.curvature_c)
        } else {
            (0.0, 0.0)
        };
        let (slope_t, curvature_t) = if with_t {
            (self.slope_t, self.curvature_t)
        } else {
            (0.0, 0.0)
        };
        panel_width(slope_c.abs().max(slope_t.abs()), curvature_c + curvature_t)
    }
}

impl March {
    pub(crate) fn new() -> Self {
        Self {
            matrix: cumulative(),
            points: points(),
        }
    }

    /// Compares T with ρC, 0 < ρ ≤ 1.
    pub(crate) fn compare(&self, c: Beta, t: Beta, rho: f64) -> Compared {
        let scene = Scene::new(c, t, rho);
        let log_height = scene.log_height();
        if log_height.is_nan() || log_height < UNDERFLOW {
            return Compared::default();
        }
        let (mut u, c_from) = leftmost(&scene);
        let (mut cdf, mut mean_below, mut t_spent) = (0.0, 0.0, false);
        let mut found = Compared::default();
        for _ in 0..20_000 {
            let view = scene.view(u);
            t_spent = t_spent || view.t_spent(&scene);
            // Left of where C begins to count its steepness does not matter, but no panel may reach across that place.
            let width = if u < c_from {
                view.width(false, !t_spent).min(c_from - u)
            } else {
                view.width(true, !t_spent)
            };
            let half = 0.5 * width;
            let views = self.points.map(|(x, _)| scene.view(u + half * (x + 1.0)));
            let densities = views
                .each_ref()
                .map(|view| if t_spent { 0.0 } else { libm::exp(view.log_t) });
            let cdfs = self.along(&densities, cdf, half);
            let mut spans = [0.0; POINTS];
            for ((span, view), cdf) in spans.iter_mut().zip(&views).zip(cdfs) {
                *span = cdf * view.place.p * view.place.q;
            }
            let means = self.along(&spans, mean_below, half);
            let mut part = Compared::default();
            let (mut cdf_step, mut mean_step) = (0.0, 0.0);
            for (index, ((view, (_, weight)), density)) in views.iter().zip(self.points).zip(densities).enumerate() {
                let at = |values: &[f64; POINTS]| values.get(index).copied().unwrap_or(0.0);
                let of_c = weight * half * libm::exp(view.log_c);
                part.below += of_c * at(&cdfs);
                part.density += of_c * density / view.place.q;
                part.shortfall += of_c * at(&means);
                cdf_step += weight * half * density;
                mean_step += weight * half * at(&spans);
            }
            cdf += cdf_step;
            mean_below += mean_step;
            found.below += part.below;
            found.density += part.density;
            found.shortfall += part.shortfall;
            let done = part.below <= found.below * 1e-17
                && part.density <= found.density * 1e-17
                && part.shortfall <= found.shortfall * 1e-17;
            if done && u > 0.0 && view.slope_c < 0.0 {
                break;
            }
            u += width;
        }
        let height = libm::exp(log_height);
        Compared {
            below: (found.below * height).min(1.0),
            density: found.density * height,
            shortfall: found.shortfall * height,
        }
    }

    /// `start` plus the integral of these values to each point of a panel.
    fn along(&self, values: &[f64; POINTS], start: f64, half: f64) -> [f64; POINTS] {
        self.matrix.map(|row| {
            let sum: f64 = row.iter().zip(values).map(|(cell, value)| cell * value).sum();
            start + half * sum
        })
    }
}

/// Where to start, so that neither f_C·F_T to the left counts nor F_T itself, and where C begins to count.
fn leftmost(scene: &Scene) -> (f64, f64) {
    let (mut u, mut edge, mut c_from) = (0.0, None, f64::NEG_INFINITY);
    for _ in 0..20_000 {
        let view = scene.view(u);
        let c_spent = view.c_spent(scene);
        if c_spent && c_from == f64::NEG_INFINITY {
            c_from = u;
        }
        if edge.is_none() && (c_spent || view.log_c + view.log_t < -NOTHING) {
            edge = Some(view.log_t);
        }
        if edge.is_some_and(|edge| view.log_t < edge - NOTHING && view.slope_t > 0.0) {
            break;
        }
        u -= view.width(!c_spent, !view.t_spent(scene));
    }
    (u, c_from)
}

/// The place ρp with its complement.
fn scaled(place: Place, rho: f64) -> Place {
    Place {
        p: rho * place.p,
        q: place.q + (1.0 - rho) * place.p,
    }
}

/// Where f_C·f_T is largest, as densities of y: halving on the slope of its logarithm, which falls.
fn peak(c: Beta, t: Beta, rho: f64) -> Place {
    let n = c.a() + c.b() + t.a() + t.b();
    let start = Place {
        p: (c.a() + t.a()) / n,
        q: (c.b() + t.b()) / n,
    };
    if rho == 1.0 {
        return start;
    }
    let slope = |place: Place| {
        let at_t = scaled(place, rho);
        c.slope(place) + t.slope(at_t) * place.q / at_t.q
    };
    let (mut low, mut high) = (-700.0, 700.0);
    for _ in 0..70 {
        let middle = 0.5 * (low + high);
        if slope(start.moved(middle)) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    start.moved(low)
}

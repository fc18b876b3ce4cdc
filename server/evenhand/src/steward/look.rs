//! Whether a planned share of a group-sequential experiment's units is there, and what is to be written down of it.

use evenhand_manage::steward::Request;
use evenhand_pipeline::ExperimentResults;
use evenhand_pipeline::results::TakenLook;

use super::Found;
use crate::looks::figures;

/// The look that these results took; none: none was due.
pub fn look(results: &ExperimentResults) -> Result<Option<Found>, String> {
    let (Some(taken), Some(plan)) = (TakenLook::of(results), &results.looks) else {
        return Ok(None);
    };
    let look = &taken.look;
    let because = format!(
        "look {} of {}: {} of {} planned units are there (bound {:.3} standard errors)",
        look.number, plan.planned, look.units, plan.planned_units, look.bound
    );
    Ok(Some(Found {
        request: Request::Look(figures(&taken)?),
        because,
    }))
}

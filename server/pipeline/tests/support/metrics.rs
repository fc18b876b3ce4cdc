//! Metrics of every kind, for the tests of whoever counts by a catalog.

use evenhand_pipeline::catalog::{
    CatalogMetric, EventMetric, InPeriod, MetricDefinition, NumberSource, PropertyFilter, Step,
};
use evenhand_stats::MetricKind;

pub fn event_metric(id: &str, kind: MetricKind, event_name: &str) -> CatalogMetric {
    CatalogMetric {
        id: id.into(),
        reading: Default::default(),
        definition: MetricDefinition::Events(EventMetric {
            kind,
            event_name: event_name.into(),
            filter: Vec::new(),
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 60,
            cap_micros: None,
            pre_period_seconds: None,
            bands: false,
        }),
    }
}

pub fn joint(id: &str, first: InPeriod, second: InPeriod) -> CatalogMetric {
    CatalogMetric {
        id: id.into(),
        reading: Default::default(),
        definition: MetricDefinition::Joint { first, second },
    }
}

/// Every kind of metric, over small windows, so that random events fall on every side of every border.
pub fn metrics_of_every_kind() -> Vec<CatalogMetric> {
    let mut revenue = event_metric("revenue", MetricKind::Sum, "purchase");
    let mut filtered = event_metric("red", MetricKind::Count, "purchase");
    let mut price = event_metric("price", MetricKind::Mean, "view");
    if let MetricDefinition::Events(events) = &mut revenue.definition {
        events.pre_period_seconds = Some(30);
        events.cap_micros = Some(25_000_000);
    }
    if let MetricDefinition::Events(events) = &mut filtered.definition {
        events.filter = vec![PropertyFilter {
            property: "colour".into(),
            equals: "red".into(),
        }];
        events.window_seconds = 20;
    }
    if let MetricDefinition::Events(events) = &mut price.definition {
        events.number = NumberSource::Property { name: "price".into() };
        events.bands = true;
    }
    let mut later = event_metric("back", MetricKind::Proportion, "view");
    if let MetricDefinition::Events(events) = &mut later.definition {
        events.from_seconds = 15;
    }
    let step = |event_name: &str, colour: Option<&str>| Step {
        event_name: event_name.into(),
        filter: colour
            .map(|colour| PropertyFilter {
                property: "colour".into(),
                equals: colour.into(),
            })
            .into_iter()
            .collect(),
    };
    // Steps that one event could be several of, and the same event twice.
    let mut path = event_metric("path", MetricKind::Proportion, "purchase");
    if let MetricDefinition::Events(events) = &mut path.definition {
        events.steps_before = vec![step("view", None), step("view", Some("red"))];
        events.pre_period_seconds = Some(40);
    }
    let mut again = event_metric("again", MetricKind::Proportion, "view");
    if let MetricDefinition::Events(events) = &mut again.definition {
        events.steps_before = vec![
            step("view", Some("blue")),
            step("purchase", None),
            step("purchase", None),
        ];
        events.from_seconds = 5;
    }
    let mut median = event_metric("median", MetricKind::Quantile, "purchase");
    median.reading.quantile = Some(evenhand_stats::Quantile::MEDIAN);
    if let MetricDefinition::Events(events) = &mut median.definition {
        events.bands = true;
    }
    let mut views = event_metric("views", MetricKind::Count, "view");
    if let MetricDefinition::Events(events) = &mut views.definition {
        events.pre_period_seconds = Some(20);
    }
    vec![
        event_metric("bought", MetricKind::Proportion, "purchase"),
        views,
        revenue,
        filtered,
        price,
        later,
        path,
        again,
        median,
        CatalogMetric {
            id: "revenue_per_view".into(),
            reading: Default::default(),
            definition: MetricDefinition::Ratio {
                numerator: "revenue".into(),
                denominator: "views".into(),
            },
        },
        joint("before", InPeriod::before("revenue"), InPeriod::before("views")),
        joint(
            "views_revenue_before",
            InPeriod::during("views"),
            InPeriod::before("revenue"),
        ),
    ]
}

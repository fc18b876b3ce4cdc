//! The topics: made where that is allowed, otherwise looked at, and what differs said with the command that mends it.

use std::time::Duration;

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};

use crate::{
    error::{Doing, KafkaError},
    settings::{KafkaSettings, TopicSettings},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// A record is an event with its envelope; an event of 64 KiB may grow fivefold when its numbers are written out.
const LEAST_MESSAGE_BYTES: i64 = 1_000_000;

/// What [`ensure_topics`] did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicReport {
    /// Topics that were made.
    pub created: Vec<String>,
    /// What differs from the settings, each with what mends it. The topics can be used all the same.
    pub differences: Vec<String>,
    /// What must be mended before anything works.
    pub missing: Vec<String>,
}

impl TopicReport {
    /// Whether the topics can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.missing.is_empty()
    }
}

/// What a Flink job needs besides the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlinkTopic {
    /// What is measured.
    Catalog,
    /// Units' values.
    UnitValues,
}

struct Wanted {
    name: String,
    partitions: i32,
    clean: Clean,
}

/// What Kafka takes away by itself.
#[derive(Clone, Copy)]
enum Clean {
    /// Records older than this.
    Old(Duration),
    /// Records that a newer one of their key follows; what takes a key back stays for this long.
    Compacted(Duration),
}

impl Clean {
    /// The policy, the setting that holds the time, and the time.
    fn settings(self) -> (&'static str, &'static str, Duration) {
        match self {
            Self::Old(kept) => ("delete", "retention.ms", kept),
            Self::Compacted(kept) => ("compact", "delete.retention.ms", kept),
        }
    }
}

/// Makes the topics that are missing, when the settings allow it, and compares those that are there with the settings.
///
/// # Errors
/// Kafka does not answer.
pub async fn ensure_topics(settings: &KafkaSettings, wanted: &TopicSettings) -> Result<TopicReport, KafkaError> {
    let topics = [
        (settings.events(), wanted.partitions, wanted.retention),
        (settings.units(), wanted.partitions, wanted.retention),
        (settings.dead(), 1, wanted.dead_retention),
    ];
    let topics = topics.map(|(name, partitions, kept)| Wanted {
        name,
        partitions,
        clean: Clean::Old(kept),
    });
    ensure(settings, wanted, &topics).await
}

/// The same for topics of a Flink job, and the topic of dead letters.
///
/// # Errors
/// Kafka does not answer.
pub async fn ensure_flink_topics(
    settings: &KafkaSettings,
    wanted: &TopicSettings,
    which: &[FlinkTopic],
) -> Result<TopicReport, KafkaError> {
    let mut topics = vec![Wanted {
        name: settings.dead(),
        partitions: 1,
        clean: Clean::Old(wanted.dead_retention),
    }];
    topics.extend(which.iter().map(|topic| {
        let (name, partitions) = match topic {
            FlinkTopic::Catalog => (settings.catalog(), 1),
            FlinkTopic::UnitValues => (settings.unit_values(), wanted.partitions),
        };
        let clean = Clean::Compacted(wanted.retention);
        Wanted {
            name,
            partitions,
            clean,
        }
    }));
    ensure(settings, wanted, &topics).await
}

async fn ensure(
    settings: &KafkaSettings,
    wanted: &TopicSettings,
    topics: &[Wanted],
) -> Result<TopicReport, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = settings
        .client(&[], &[])
        .create()
        .doing("making an admin client (see the Kafka settings)")?;
    let mut report = TopicReport::default();
    for topic in topics {
        if wanted.create {
            create(&admin, topic, wanted.replication, &mut report).await?;
        }
    }
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    for topic in topics {
        if report.created.contains(&topic.name) {
            continue;
        }
        let (policy, setting, kept) = topic.clean.settings();
        let Some((partitions, replication)) = shape(&admin, &topic.name)? else {
            report.missing.push(format!(
                "topic {} is missing; make it: kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} --replication-factor {} \
                 --config cleanup.policy={policy} --config {setting}={}",
                topic.name,
                settings.brokers,
                topic.name,
                topic.partitions,
                wanted.replication,
                kept.as_millis()
            ));
            continue;
        };
        compare_shape(
            settings,
            topic,
            wanted.replication,
            (partitions, replication),
            &mut report,
        );
        let resource = ResourceSpecifier::Topic(&topic.name);
        let described = admin
            .describe_configs([&resource], &options)
            .await
            .doing("reading the settings of the topics")?;
        match described.into_iter().next() {
            Some(Ok(resource)) => {
                let text = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
                compare_settings(settings, topic, text, &mut report);
            }
            // A client may write and read without the right to see settings.
            Some(Err(error)) => report
                .differences
                .push(format!("the settings of topic {} can't be read ({error})", topic.name)),
            None => {}
        }
    }
    Ok(report)
}

async fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &Wanted,
    replication: i32,
    report: &mut TopicReport,
) -> Result<(), KafkaError> {
    if shape(admin, &topic.name)?.is_some() {
        return Ok(());
    }
    let (policy, setting, kept) = topic.clean.settings();
    let kept = kept.as_millis().to_string();
    let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(replication))
        .set("cleanup.policy", policy)
        .set(setting, &kept);
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    let made = admin.create_topics([&new], &options).await.doing("making the topics")?;
    match made.into_iter().next() {
        Some(Ok(name)) => report.created.push(name),
        // Another node was faster.
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => {}
        Some(Err((name, code))) => report.differences.push(format!("topic {name} can't be made: {code}")),
    }
    Ok(())
}

/// Partitions and copies of a topic; None when it is missing.
fn shape(admin: &AdminClient<DefaultClientContext>, name: &str) -> Result<Option<(usize, usize)>, KafkaError> {
    let metadata = admin
        .inner()
        .fetch_metadata(Some(name), PATIENCE)
        .doing("asking for the topics")?;
    Ok(metadata
        .topics()
        .iter()
        .find(|topic| topic.name() == name && topic.error().is_none() && !topic.partitions().is_empty())
        .map(|topic| {
            let copies = topic
                .partitions()
                .iter()
                .map(|partition| partition.replicas().len())
                .min();
            (topic.partitions().len(), copies.unwrap_or(0))
        }))
}

fn compare_shape(
    settings: &KafkaSettings,
    topic: &Wanted,
    replication: i32,
    (partitions, copies): (usize, usize),
    report: &mut TopicReport,
) {
    let wanted = usize::try_from(topic.partitions).unwrap_or(0);
    // Of a compacted topic any number will do.
    if partitions != wanted && matches!(topic.clean, Clean::Old(_)) {
        report.differences.push(if topic.name == settings.units() {
            // A unit's records would stand in two partitions, before and after.
            format!(
                "topic {} has {partitions} partitions, the settings say {wanted}: set them to {partitions}. Its partitions must not be changed: \
                 a unit would have its history in two of them",
                topic.name
            )
        } else if partitions < wanted {
            format!(
                "topic {} has {partitions} partitions, the settings say {wanted}: kafka-topics.sh --bootstrap-server {} --alter --topic {} \
                 --partitions {wanted}",
                topic.name, settings.brokers, topic.name
            )
        } else {
            format!(
                "topic {} has {partitions} partitions, the settings say {wanted}: set them to {partitions} (Kafka can't take partitions away)",
                topic.name
            )
        });
    }
    if copies != usize::try_from(replication).unwrap_or(0) {
        report.differences.push(format!(
            "topic {} has {copies} copies, the settings say {replication}: set them to {copies}, or move it with kafka-reassign-partitions.sh \
             --bootstrap-server {}",
            topic.name, settings.brokers
        ));
    }
}

fn compare_settings<'a>(
    settings: &KafkaSettings,
    topic: &Wanted,
    text: impl Fn(&str) -> Option<&'a str>,
    report: &mut TopicReport,
) {
    let number = |name: &str| text(name).and_then(|value| value.parse::<i64>().ok());
    let (policy, setting, kept) = topic.clean.settings();
    let wanted = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    let alter = |setting: &str, value: &str| {
        format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config {setting}={value}",
            settings.brokers, topic.name
        )
    };
    if let (Clean::Compacted(_), Some(found)) = (topic.clean, text("cleanup.policy"))
        && found != policy
    {
        report.differences.push(format!(
            "topic {} has the clean-up policy {found}, and must keep the newest record of every key: {}",
            topic.name,
            alter("cleanup.policy", policy)
        ));
    }
    // -1 keeps for ever.
    if let Some(ms) = number(setting).filter(|ms| (0..wanted).contains(ms)) {
        report.differences.push(format!(
            "topic {} keeps {} for {ms} ms, the settings say {wanted}: {}",
            topic.name,
            if policy == "compact" {
                "what takes a key back"
            } else {
                "records"
            },
            alter(setting, &wanted.to_string())
        ));
    }
    if let Some(bytes) = number("max.message.bytes").filter(|bytes| *bytes < LEAST_MESSAGE_BYTES) {
        report.differences.push(format!(
            "topic {} takes messages of {bytes} bytes at most, and events may be larger: {}",
            topic.name,
            alter("max.message.bytes", "1048588")
        ));
    }
}

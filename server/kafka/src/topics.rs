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

struct Wanted {
    name: String,
    partitions: i32,
    retention: Duration,
}

/// Makes the topics that are missing, when the settings allow it, and compares those that are there with the settings.
///
/// # Errors
/// Kafka does not answer.
pub async fn ensure_topics(settings: &KafkaSettings, wanted: &TopicSettings) -> Result<TopicReport, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = settings
        .client(&[], &[])
        .create()
        .doing("making an admin client (see the Kafka settings)")?;
    let topics = [
        (settings.events(), wanted.partitions, wanted.retention),
        (settings.units(), wanted.partitions, wanted.retention),
        (settings.dead(), 1, wanted.dead_retention),
    ]
    .map(|(name, partitions, retention)| Wanted {
        name,
        partitions,
        retention,
    });
    let mut report = TopicReport::default();
    for topic in &topics {
        if wanted.create {
            create(&admin, topic, wanted.replication, &mut report).await?;
        }
    }
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    for topic in &topics {
        if report.created.contains(&topic.name) {
            continue;
        }
        let Some((partitions, replication)) = shape(&admin, &topic.name)? else {
            report.missing.push(format!(
                "topic {} is missing; make it: kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} --replication-factor {} \
                 --config retention.ms={}",
                topic.name,
                settings.brokers,
                topic.name,
                topic.partitions,
                wanted.replication,
                topic.retention.as_millis()
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
                let number = |name: &str| {
                    resource
                        .get(name)
                        .and_then(|entry| entry.value.as_deref())
                        .and_then(|value| value.parse().ok())
                };
                compare_settings(
                    settings,
                    topic,
                    number("retention.ms"),
                    number("max.message.bytes"),
                    &mut report,
                );
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
    let retention = topic.retention.as_millis().to_string();
    let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(replication))
        .set("retention.ms", &retention)
        .set("cleanup.policy", "delete");
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
    if partitions != wanted {
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

fn compare_settings(
    settings: &KafkaSettings,
    topic: &Wanted,
    retention: Option<i64>,
    message: Option<i64>,
    report: &mut TopicReport,
) {
    let wanted = i64::try_from(topic.retention.as_millis()).unwrap_or(i64::MAX);
    let alter = |setting: &str, value: i64| {
        format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config {setting}={value}",
            settings.brokers, topic.name
        )
    };
    // -1 keeps for ever.
    if retention.is_some_and(|ms| ms >= 0 && ms < wanted) {
        report.differences.push(format!(
            "topic {} keeps records for {} ms, the settings say {wanted}: {}",
            topic.name,
            retention.unwrap_or(0),
            alter("retention.ms", wanted)
        ));
    }
    if message.is_some_and(|bytes| bytes < LEAST_MESSAGE_BYTES) {
        report.differences.push(format!(
            "topic {} takes messages of {} bytes at most, and events may be larger: {}",
            topic.name,
            message.unwrap_or(0),
            alter("max.message.bytes", 1_048_588)
        ));
    }
}

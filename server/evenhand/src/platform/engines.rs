//! Kafka and ClickHouse by what the configuration says of them, for every role.

use std::time::Duration;

use evenhand_clickhouse::{ClickHouse, ClickHouseSettings};
use evenhand_kafka::{
    FlinkTopic, KafkaError, KafkaSettings, TopicReport, TopicSettings, ensure_flink_topics, ensure_topics,
};

use crate::config::Config;

/// Between two attempts at an engine that is not there.
const AGAIN: Duration = Duration::from_secs(2);

pub fn kafka(config: &Config) -> Result<KafkaSettings, String> {
    let brokers = config.events.kafka.as_ref().ok_or("events.kafka is not set")?;
    let mut settings = KafkaSettings::new(brokers);
    settings.prefix.clone_from(&config.events.topic_prefix);
    settings.options.clone_from(&config.events.kafka_settings);
    if let Some(password) = config.events.password()? {
        settings.options.insert("sasl.password".into(), password);
    }
    Ok(settings)
}

pub fn topics(config: &Config) -> TopicSettings {
    TopicSettings {
        partitions: i32::try_from(config.events.partitions.get()).unwrap_or(i32::MAX),
        replication: i32::try_from(config.events.replication.get()).unwrap_or(i32::MAX),
        ..TopicSettings::default()
    }
}

pub fn clickhouse(config: &Config) -> Result<ClickHouse, String> {
    let url = config
        .analytics
        .clickhouse
        .as_ref()
        .ok_or("analytics.clickhouse is not set")?;
    let mut settings = ClickHouseSettings::new(url.reveal());
    settings.database.clone_from(&config.analytics.database);
    settings.user.clone_from(&config.analytics.user);
    settings.password_file.clone_from(&config.analytics.password_file);
    settings.cluster.clone_from(&config.analytics.cluster);
    settings.retention_days = config.analytics.retention_days.get();
    ClickHouse::new(settings).map_err(|e| e.to_string())
}

/// Makes topics and tables as soon as their engines are there. A node takes events without either.
pub fn prepare_in_background(store: ClickHouse, kafka: KafkaSettings, topics: TopicSettings) {
    tokio::spawn(async move {
        tokio::join!(prepare_tables(&store), prepare_topics(&kafka, &topics));
    });
}

/// Makes the tables, however long it takes until ClickHouse is there.
pub async fn prepare_tables(store: &ClickHouse) {
    let mut said = false;
    while let Err(error) = store.prepare().await {
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(%error, "ClickHouse can't be made ready yet; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Makes the topics, however long it takes until Kafka is there.
pub async fn prepare_topics(kafka: &KafkaSettings, topics: &TopicSettings) {
    prepare(|| ensure_topics(kafka, topics)).await;
}

/// The same for topics of a Flink job.
pub async fn prepare_flink_topics(kafka: &KafkaSettings, topics: &TopicSettings, which: &[FlinkTopic]) {
    prepare(|| ensure_flink_topics(kafka, topics, which)).await;
}

async fn prepare<R: Future<Output = Result<TopicReport, KafkaError>>>(ensure: impl Fn() -> R) {
    let mut said = false;
    loop {
        let problem = match ensure().await {
            Ok(report) => {
                for difference in &report.differences {
                    tracing::warn!(difference, "a topic is not as configured");
                }
                if report.is_usable() {
                    return;
                }
                report.missing.join("; ")
            }
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(problem, "Kafka's topics are not ready yet; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

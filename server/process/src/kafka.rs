//! Ranges from Kafka.

use std::{collections::BTreeMap, time::Duration};

use evenhand_kafka::{DeadReason, KafkaError, KafkaSettings, RangeConsumer, RangeLimits, Toucher};

use crate::source::{Finished, Range, RangeSource, Record, SourceError};

/// Traces that are followed in one range.
const MOST_TRACES: usize = 16;

/// The units topic, as a member of the group that processes it.
pub struct KafkaSource {
    settings: KafkaSettings,
    limits: RangeLimits,
    /// None after a failure, until the next attempt to join.
    consumer: Option<RangeConsumer>,
    dead: Toucher,
    /// What is handed out, without its records (but the last, whose time counts).
    outstanding: BTreeMap<u32, evenhand_kafka::Range>,
}

impl KafkaSource {
    /// Joins the group.
    ///
    /// # Errors
    /// A setting that Kafka's client does not accept.
    pub fn open(settings: &KafkaSettings, limits: RangeLimits) -> Result<Self, SourceError> {
        Ok(Self {
            consumer: Some(RangeConsumer::open(settings, limits).map_err(said)?),
            dead: Toucher::open(settings).map_err(said)?,
            settings: settings.clone(),
            limits,
            outstanding: BTreeMap::new(),
        })
    }

    fn consumer(&mut self) -> Result<&mut RangeConsumer, SourceError> {
        match &mut self.consumer {
            Some(consumer) => Ok(consumer),
            none => Ok(none.insert(RangeConsumer::open(&self.settings, self.limits).map_err(said)?)),
        }
    }
}

fn said(error: KafkaError) -> SourceError {
    SourceError {
        message: error.to_string(),
        needs_a_person: matches!(error, KafkaError::Lost { .. } | KafkaError::Unusable(_)),
    }
}

fn number<N>(value: N) -> u64
where
    u64: TryFrom<N>,
{
    // Kafka's numbers are signed and never negative here.
    u64::try_from(value).unwrap_or(0)
}

impl RangeSource for KafkaSource {
    fn next_range(&mut self, wait: Duration) -> Result<Option<Range>, SourceError> {
        let Some(mut range) = self.consumer()?.next_range(wait).map_err(said)? else {
            return Ok(None);
        };
        let last = range.records.last().map(|last| evenhand_kafka::RangeRecord {
            key: Vec::new(),
            value: Vec::new(),
            traceparent: None,
            ..*last
        });
        let records = std::mem::take(&mut range.records);
        range.records.extend(last);
        let partition = u32::try_from(range.partition).unwrap_or(0);
        let mut traces: Vec<Box<str>> = Vec::new();
        for trace in records.iter().filter_map(|record| record.traceparent.as_ref()) {
            if traces.len() < MOST_TRACES && !traces.contains(trace) {
                traces.push(trace.clone());
            }
        }
        let handed = Range {
            traces,
            partition,
            from: number(range.from),
            to: number(range.to),
            records: records
                .into_iter()
                .map(|record| Record {
                    offset: number(record.offset),
                    key: record.key,
                    value: record.value,
                })
                .collect(),
        };
        self.outstanding.insert(partition, range);
        Ok(Some(handed))
    }

    fn finish(&mut self, partition: u32, _to: u64) -> Finished {
        let range = self.outstanding.remove(&partition);
        match (range, &mut self.consumer) {
            (Some(range), Some(consumer)) => match consumer.finish(&range) {
                evenhand_kafka::Finished::Done => Finished::Done,
                evenhand_kafka::Finished::Moved => Finished::Moved,
            },
            _ => Finished::Moved,
        }
    }

    fn owned(&self) -> Vec<u32> {
        let lag = self.consumer.as_ref().map(RangeConsumer::lag).unwrap_or_default();
        lag.iter().filter_map(|of| u32::try_from(of.partition).ok()).collect()
    }

    fn lag(&self) -> u64 {
        let lag = self.consumer.as_ref().map(RangeConsumer::lag).unwrap_or_default();
        lag.iter().map(|of| of.lag).sum()
    }

    fn bury(&mut self, partition: u32, record: &Record, reason: &str) -> Result<(), SourceError> {
        let reason = DeadReason {
            reason: format!("not_processable: {reason}"),
            topic: self.settings.units(),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            offset: i64::try_from(record.offset).unwrap_or(i64::MAX),
        };
        self.dead.bury(&record.key, &record.value, &reason).map_err(said)
    }

    fn reopen(&mut self) -> Result<(), SourceError> {
        self.outstanding.clear();
        self.consumer = None;
        self.consumer().map(drop)
    }
}

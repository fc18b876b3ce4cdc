//! What can go wrong with Kafka, said so that an operator knows what to do.

use std::path::PathBuf;

use rdkafka::error::KafkaError as Client;

/// Something that the log in Kafka could not do.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The client or the broker refused.
    #[error("{what}: {source}")]
    Client {
        /// What was being done.
        what: &'static str,
        /// librdkafka's words.
        source: Client,
    },
    /// A file of the spool can't be read, written or made.
    #[error("{what} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Records were not acknowledged.
    #[error("Kafka did not take the records: {0}")]
    NotTaken(String),
    /// Records that were to be read have been deleted.
    #[error(
        "{topic} partition {partition}: the records from {from} on were to be read, and the first that is left is {first}: retention deleted \
         them before they were processed. Nothing is skipped silently. Raise retention.ms of the topic; to go on without them, start once \
         with lost records accepted, and rebuild the results from another source"
    )]
    Lost {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The offset that comes next.
        from: i64,
        /// The least offset that is left.
        first: i64,
    },
    /// Something is not as it must be.
    #[error("{0}")]
    Unusable(String),
}

/// Names what was being done when the client refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, KafkaError>;
}

impl<T> Doing<T> for Result<T, Client> {
    fn doing(self, what: &'static str) -> Result<T, KafkaError> {
        self.map_err(|source| KafkaError::Client { what, source })
    }
}

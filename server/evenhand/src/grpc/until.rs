//! A stream with an end: the caller's deadline, or the process's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Extensions, Status};

use super::{deadline, refusal};

/// The items of a stream until its end comes, which is the last item.
pub struct Until<S> {
    inner: S,
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl<S> Until<S> {
    /// Ends with the deadline of the call and with the process.
    pub fn new(inner: S, call: &Extensions, mut stop: watch::Receiver<bool>) -> Self {
        let deadline = deadline::of(call);
        let end = async move {
            tokio::select! {
                passed = deadline => passed,
                _ = stop.wait_for(|stop| *stop) => refusal::stopping(),
            }
        };
        Until {
            inner,
            end: Some(Box::pin(end)),
        }
    }
}

impl<T, S: Stream<Item = Result<T, Status>> + Unpin> Stream for Until<S> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(end) = &mut self.end else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = end.as_mut().poll(context) {
            self.end = None;
            return Poll::Ready(Some(Err(status)));
        }
        Pin::new(&mut self.inner).poll_next(context)
    }
}

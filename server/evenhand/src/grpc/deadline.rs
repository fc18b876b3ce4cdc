//! A caller's deadline (`grpc-timeout`): what is not answered by then is answered DEADLINE_EXCEEDED, and the work on it is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Extensions, Status};

/// Without a deadline, or with a later one, so long from a call's head to the head of its answer: as long as its one message may dribble in.
/// Streams answer their head at once and live on.
const PATIENCE: Duration = Duration::from_secs(30);

/// When the caller gives up; an extension of each request that says so.
#[derive(Clone, Copy)]
struct Deadline(Instant);

/// Answers within the time that the request allows.
pub async fn within<F>(
    mut request: Request<Body>,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let now = Instant::now();
    let mut until = now + PATIENCE;
    match said(request.headers()) {
        Ok(None) => {}
        Ok(Some(timeout)) => {
            // Beyond what a clock can hold is no deadline.
            if let Some(deadline) = now.checked_add(timeout) {
                request.extensions_mut().insert(Deadline(deadline));
                until = until.min(deadline);
            }
        }
        Err(status) => return Ok(status.into_http()),
    }
    match tokio::time::timeout_at(until, answer(request)).await {
        Ok(answered) => answered,
        Err(_) => Ok(passed(until - now).into_http()),
    }
}

/// Ends when the caller's deadline passes; never, where there is none.
pub fn of(extensions: &Extensions) -> impl Future<Output = Status> + Send + 'static {
    let deadline = extensions.get::<Deadline>().copied();
    async move {
        match deadline {
            Some(Deadline(at)) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        Status::deadline_exceeded("the deadline of the stream has passed; open it again to read on")
    }
}

fn passed(after: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "there was no answer within {} ms; ask again, with a later deadline if this one was too soon",
        after.as_millis()
    ))
}

/// `grpc-timeout`: 1 to 8 digits and a unit.
fn said(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let unreadable = || {
        Status::invalid_argument(
            "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n, such as `100m` for 100 ms",
        )
    };
    let text = value.to_str().map_err(|_| unreadable())?;
    let unit = text.chars().last().ok_or_else(unreadable)?;
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unreadable());
    }
    let number: u64 = digits.parse().map_err(|_| unreadable())?;
    Ok(Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return Err(unreadable()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_the_protocol_says() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            said(&headers)
        };
        assert_eq!(of("250m").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(of("99999999H").unwrap(), Some(Duration::from_secs(99_999_999 * 3_600)));
        for bad in ["", "m", "1", "1x", "123456789m", "-1S", "1.5S"] {
            assert_eq!(of(bad).unwrap_err().code(), tonic::Code::InvalidArgument, "{bad}");
        }
        assert_eq!(said(&HeaderMap::new()).unwrap(), None);
    }
    #[tokio::test]
    async fn what_takes_longer_than_the_caller_waits_is_answered_deadline_exceeded() {
        let ask = |timeout: &'static str, takes: u64| async move {
            let request = Request::builder().header("grpc-timeout", timeout);
            let answer = |_| async move {
                tokio::time::sleep(Duration::from_millis(takes)).await;
                Ok(Response::new(Body::empty()))
            };
            let answer = within(request.body(Body::empty()).unwrap(), answer).await.unwrap();
            answer
                .headers()
                .get("grpc-status")
                .map(|code| code.to_str().unwrap().to_owned())
        };
        assert_eq!(ask("10S", 1).await, None);
        assert_eq!(ask("20m", 10_000).await.as_deref(), Some("4"));
        assert_eq!(ask("0n", 10_000).await.as_deref(), Some("4"));
        assert_eq!(ask("2x", 1).await.as_deref(), Some("3"));
    }
}

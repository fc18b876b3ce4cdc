//! One event in a log batch: effective time (i64), length (u32), both little-endian, then the canonical bytes.

const HEADER: usize = 12;

/// Appends one record.
///
/// # Errors
/// The canonical bytes are longer than a record can say (4 GiB), which no accepted event is.
pub fn write(out: &mut Vec<u8>, effective_ms: i64, canonical: &[u8]) -> Result<(), &'static str> {
    let length = u32::try_from(canonical.len()).map_err(|_| "The event is too large for the log.")?;
    out.extend_from_slice(&effective_ms.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(canonical);
    Ok(())
}

/// The records of a batch, in order: (effective time, canonical bytes). Ends early where the bytes are damaged.
pub fn read(mut bytes: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (time, length) = header.split_at_checked(8)?;
        let time = i64::from_le_bytes(time.try_into().ok()?);
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let (canonical, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        bytes = rest;
        Some((time, canonical))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_and_damage_ends_the_batch() {
        let mut bytes = Vec::new();
        write(&mut bytes, -5, b"{}").unwrap();
        write(&mut bytes, i64::MAX, b"").unwrap();
        write(&mut bytes, 7, b"abc").unwrap();
        let all: Vec<_> = read(&bytes).collect();
        assert_eq!(all, [(-5, &b"{}"[..]), (i64::MAX, &b""[..]), (7, &b"abc"[..])]);
        assert_eq!(read(&bytes[..bytes.len() - 1]).count(), 2);
    }
}

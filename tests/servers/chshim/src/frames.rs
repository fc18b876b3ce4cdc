//! ClickHouse's compressed frames: a checksum of 16 bytes (CityHash128 of version 1.0.2, of all that follows), the method, the
//! compressed size (these nine bytes of head included), the raw size, and the block.

const CHECKSUM: usize = 16;
const HEAD: usize = 9;
const LZ4: u8 = 0x82;
const PLAIN: u8 = 0x02;
/// How much raw data goes into one frame of an answer.
const FRAME: usize = 1 << 20;
/// No frame may claim to unpack to more.
const LARGEST: usize = 1 << 30;

/// The raw bytes of a run of frames.
pub fn unpack(mut bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut raw = Vec::new();
    while !bytes.is_empty() {
        let (Some(checksum), Some(head)) = (bytes.get(..CHECKSUM), bytes.get(CHECKSUM..CHECKSUM + HEAD)) else {
            return Err("a compressed frame is cut off in its head".to_owned());
        };
        let size = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (method, compressed, raw_size) = (head[0], size(1), size(5));
        let Some(frame) = bytes
            .get(CHECKSUM..CHECKSUM + compressed)
            .filter(|_| compressed >= HEAD)
        else {
            return Err(format!(
                "a compressed frame is cut off: {compressed} bytes are announced, {} are there",
                bytes.len() - CHECKSUM
            ));
        };
        if checksum != sum(frame) {
            return Err("a compressed frame has another checksum than its bytes".to_owned());
        }
        if raw_size > LARGEST {
            return Err(format!(
                "a compressed frame claims {raw_size} bytes; at most {LARGEST} are taken"
            ));
        }
        match method {
            LZ4 => raw.extend(
                lz4_flex::block::decompress(&frame[HEAD..], raw_size)
                    .map_err(|error| format!("a compressed frame: {error}"))?,
            ),
            PLAIN => raw.extend(&frame[HEAD..]),
            other => {
                return Err(format!(
                    "a compressed frame has the method {other:#x}; LZ4 (0x82) and none (0x02) are known"
                ));
            }
        }
        bytes = &bytes[CHECKSUM + compressed..];
    }
    Ok(raw)
}

/// `raw` as a run of LZ4 frames.
pub fn pack(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() / 2);
    for chunk in raw.chunks(FRAME) {
        let block = lz4_flex::block::compress(chunk);
        let mut frame = Vec::with_capacity(HEAD + block.len());
        frame.push(LZ4);
        for size in [HEAD + block.len(), chunk.len()] {
            frame.extend(u32::try_from(size).expect("a frame is small").to_le_bytes());
        }
        frame.extend(block);
        out.extend(sum(&frame));
        out.extend(frame);
    }
    out
}

fn sum(frame: &[u8]) -> [u8; CHECKSUM] {
    // The high half goes first, each half with its least byte first.
    cityhash_rs::cityhash_102_128(frame).rotate_left(64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_what_is_damaged_does_not() {
        let raw: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let packed = pack(&raw);
        assert_eq!(unpack(&packed).as_deref(), Ok(raw.as_slice()));
        for at in [0, 16, 17, 40, packed.len() - 1] {
            let mut damaged = packed.clone();
            damaged[at] ^= 1;
            assert!(unpack(&damaged).is_err(), "byte {at}");
        }
        assert!(unpack(&packed[..packed.len() - 1]).is_err());
    }
}

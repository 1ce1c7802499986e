//! Counts the heads that an upstream sends over HTTP/2 and goes on after: interim answers, and the answer itself.
//!
//! The library drops interim answers without a word, for as long as they come. Only the nine bytes of a frame's head are looked at
//! here; whether the frames are in order is the library's to judge.

/// Where in an upstream's bytes the reader is.
#[derive(Clone, Copy, Debug)]
pub enum Heads {
    /// Within a frame's head, of which so many bytes are here.
    Head([u8; HEAD_BYTES], usize),
    /// So many bytes of a frame's payload are still to come.
    Payload(usize),
}

impl Default for Heads {
    fn default() -> Self {
        Self::Head([0; HEAD_BYTES], 0)
    }
}

impl Heads {
    /// How many began in `bytes`. A head that ends its stream is the last one there, and counts for nothing.
    pub fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count = 0;
        while !bytes.is_empty() {
            match self {
                Self::Payload(left) => {
                    let taken = (*left).min(bytes.len());
                    *left -= taken;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        *self = Self::default();
                    }
                }
                Self::Head(head, here) => {
                    let taken = (HEAD_BYTES - *here).min(bytes.len());
                    let (now, rest) = bytes.split_at_checked(taken).unwrap_or_default();
                    if let Some(space) = head.get_mut(*here..*here + taken) {
                        space.copy_from_slice(now);
                    }
                    *here += taken;
                    bytes = rest;
                    if *here == HEAD_BYTES {
                        let [high, middle, low, kind, flags, ..] = *head;
                        if kind == HEADERS && flags & END_STREAM == 0 {
                            count += 1;
                        }
                        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                        *self = if length == 0 { Self::default() } else { Self::Payload(length) };
                    }
                }
            }
        }
        count
    }
}

const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 0x1;
const END_STREAM: u8 = 0x1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_the_bytes_are_cut() {
        let frame = |kind: u8, flags: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap_or(0);
            [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
        };
        // SETTINGS, an interim answer, the answer, DATA that looks like a head, the last head.
        let parts =
            [frame(4, 0, b""), frame(1, 4, b"1234"), frame(1, 4, b"5"), frame(0, 0, &[0, 0, 0, 1, 4, 0, 0, 0, 1]), frame(1, 5, b"6")];
        let bytes = parts.concat();
        for size in 1..=bytes.len() {
            let mut heads = Heads::default();
            let count: u32 = bytes.chunks(size).map(|piece| heads.count(piece)).sum();
            assert_eq!(count, 2, "in pieces of {size}");
        }
    }
}

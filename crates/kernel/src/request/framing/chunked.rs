//! The chunked transfer coding (RFC 9112 §7.1), strictly: plain sizes, no quoted extensions, CR LF and nothing else.

use super::head::split_field;
use super::{FramingFault, LINE_END, is_token, line};

/// Where in a chunked body the next byte stands.
#[derive(Debug, Default)]
pub(super) enum Chunked {
    #[default]
    Size,
    Data {
        left: u64,
    },
    DataEnd,
    Trailers {
        bytes: usize,
        fields: usize,
        searched: usize,
    },
}

pub(super) enum ChunkedStep {
    NeedMore,
    /// These bytes may pass, and more of the body follows.
    Part {
        bytes: usize,
    },
    /// These bytes may pass, and they end the body.
    End {
        bytes: usize,
    },
}

impl Chunked {
    /// Takes as much as can be judged, from one element (size line, data, data's end, trailer line).
    pub fn advance(&mut self, bytes: &[u8]) -> Result<ChunkedStep, FramingFault> {
        match self {
            Self::Size => self.size(bytes),
            Self::Data { left } => {
                let passing = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(*left);
                *left -= passing;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok(part(usize::try_from(passing).unwrap_or(bytes.len())))
            }
            Self::DataEnd => match bytes {
                [] | [b'\r'] => Ok(ChunkedStep::NeedMore),
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(part(LINE_END))
                }
                _ => Err(FramingFault::ChunkEnd),
            },
            Self::Trailers { bytes: before, fields, searched } => trailer(bytes, before, fields, searched),
        }
    }

    fn size(&mut self, bytes: &[u8]) -> Result<ChunkedStep, FramingFault> {
        let Some(content) = line(bytes.get(..SIZE_LINE_BYTES_MAX).unwrap_or(bytes), &mut 0)? else {
            return if bytes.len() >= SIZE_LINE_BYTES_MAX { Err(FramingFault::ChunkLineTooLong) } else { Ok(ChunkedStep::NeedMore) };
        };
        let (size, extensions) = match content.iter().position(|byte| *byte == b';') {
            Some(at) => content.split_at(at),
            None => (content, &[][..]),
        };
        let left = read_size(size)?;
        check_extensions(extensions)?;
        *self = if left == 0 { Self::Trailers { bytes: 0, fields: 0, searched: 0 } } else { Self::Data { left } };
        Ok(part(content.len() + LINE_END))
    }
}

/// `before` bytes in `fields` lines of the section were taken already.
fn trailer(bytes: &[u8], before: &mut usize, fields: &mut usize, searched: &mut usize) -> Result<ChunkedStep, FramingFault> {
    let room = TRAILERS_BYTES_MAX.saturating_sub(*before);
    let Some(content) = line(bytes.get(..room).unwrap_or(bytes), searched)? else {
        return if bytes.len() >= room { Err(FramingFault::TrailersTooLarge) } else { Ok(ChunkedStep::NeedMore) };
    };
    let taken = content.len() + LINE_END;
    if content.is_empty() {
        return Ok(ChunkedStep::End { bytes: taken });
    }
    split_field(content)?;
    *before += taken;
    *fields += 1;
    if *fields > TRAILERS_MAX { Err(FramingFault::TrailersTooLarge) } else { Ok(part(taken)) }
}

const fn part(bytes: usize) -> ChunkedStep {
    match bytes {
        0 => ChunkedStep::NeedMore,
        bytes => ChunkedStep::Part { bytes },
    }
}

/// 1 to 16 hexadecimal digits without leading zeros, below 2^63.
fn read_size(digits: &[u8]) -> Result<u64, FramingFault> {
    let plain = match digits {
        [b'0'] => true,
        [b'0', ..] | [] => false,
        _ => digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit),
    };
    let size = std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    size.filter(|size| i64::try_from(*size).is_ok()).ok_or(FramingFault::ChunkSize)
}

/// `;name` or `;name=token`, any number within the line. Quoted strings are refused: readers differ on what ends them.
fn check_extensions(text: &[u8]) -> Result<(), FramingFault> {
    let Some((_, extensions)) = text.split_first() else {
        return Ok(());
    };
    for extension in extensions.split(|byte| *byte == b';') {
        let mut parts = extension.splitn(2, |byte| *byte == b'=');
        if !parts.next().is_some_and(is_token) || !parts.next().is_none_or(is_token) {
            return Err(FramingFault::ChunkExtension);
        }
    }
    Ok(())
}

/// 16 digits, 256 bytes of extensions, CR LF.
const SIZE_LINE_BYTES_MAX: usize = 16 + 256 + LINE_END;

/// As much as the parser behind takes.
const TRAILERS_BYTES_MAX: usize = 16 * 1024;
const TRAILERS_MAX: usize = 100;

//! A list of records: rising numbers, each as its distance to the one before, seven bits a byte.

/// Writes rising numbers.
pub fn write(numbers: &[u32], out: &mut Vec<u8>) {
    let mut before = 0;
    for number in numbers {
        let mut distance = number.saturating_sub(before);
        before = *number;
        while distance >= 0x80 {
            out.push((distance & 0x7f) as u8 | 0x80);
            distance >>= 7;
        }
        out.push(distance as u8);
    }
}

/// Reads them back. None when the bytes are not such a list of numbers below `limit`.
pub fn read(bytes: &[u8], limit: u32) -> Option<Vec<u32>> {
    let mut numbers = Vec::with_capacity(bytes.len());
    let (mut last, mut distance, mut shift) = (0_u32, 0_u32, 0_u32);
    for byte in bytes {
        distance |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 != 0 {
            shift += 7;
            continue;
        }
        last = last.checked_add(distance)?;
        numbers.push(last);
        (distance, shift) = (0, 0);
    }
    (shift == 0 && last < limit).then_some(numbers)
}

/// What is in either of two rising lists.
pub fn either(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// What is in both of two rising lists.
pub fn both(one: &[u32], other: &[u32]) -> Vec<u32> {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short.iter().copied().filter(|number| long.binary_search(number).is_ok()).collect()
}

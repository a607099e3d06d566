//! What the shim has written down. Its kinds of records are listed in `shim.c`.

/// One call, or something that was told between two of them.
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) inode: u64,
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// Every whole record. A process that was killed leaves part of the last one.
pub(super) fn parse(mut trace: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((record, rest)) = first(trace) {
        records.push(record);
        trace = rest;
    }
    records
}

fn first(trace: &[u8]) -> Option<(Record, &[u8])> {
    let end = trace.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = trace.split_at_checked(end)?;
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    let [kind, inode, number, length] = words[..] else {
        unreachable!("the shim writes no such line: {words:?}");
    };
    let (bytes, rest) = rest.get(1..)?.split_at_checked(length.parse().ok()?)?;
    let record = Record {
        kind: kind.bytes().next()?,
        inode: inode.parse().ok()?,
        number: number.parse().ok()?,
        bytes: bytes.to_vec(),
    };
    Some((record, rest))
}

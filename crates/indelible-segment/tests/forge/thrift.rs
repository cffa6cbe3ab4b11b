//! Thrift's compact protocol as a tree that can be changed: what stands in a Parquet file beside the pages.

/// A member of a struct, or an element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// True or false.
    Bool(bool),
    /// One byte.
    Byte(u8),
    /// A number, behind the kind that says how long it may be.
    Int(u8, i64),
    /// Bytes or text.
    Bytes(Vec<u8>),
    /// Elements, behind their kind.
    List(u8, Vec<Self>),
    /// Members by their ids.
    Struct(Struct),
}

/// Members by their ids, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Struct(pub(crate) Vec<(i16, Value)>);

const DEPTH_MAX: u8 = 16;

impl Value {
    /// A number of 32 bits.
    pub(crate) fn i32(value: i32) -> Self {
        Self::Int(5, value.into())
    }

    /// A number of 64 bits.
    pub(crate) fn i64(value: i64) -> Self {
        Self::Int(6, value)
    }

    /// A text.
    pub(crate) fn text(value: &str) -> Self {
        Self::Bytes(value.into())
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Bool(true) => 1,
            Self::Bool(false) => 2,
            Self::Byte(_) => 3,
            Self::Int(kind, _) => *kind,
            Self::Bytes(_) => 8,
            Self::List(..) => 9,
            Self::Struct(_) => 12,
        }
    }

    /// The number that it is.
    pub(crate) fn number(&self) -> Option<i64> {
        if let Self::Int(_, value) = self { Some(*value) } else { None }
    }

    fn find(&self, path: &[i16]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::List(_, elements) => elements.get(usize::try_from(*first).ok()?)?.find(rest),
            Self::Struct(members) => members.find(path),
            _ => None,
        }
    }

    fn find_mut(&mut self, path: &[i16]) -> Option<&mut Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::List(_, elements) => elements.get_mut(usize::try_from(*first).ok()?)?.find_mut(rest),
            Self::Struct(Struct(members)) => members.iter_mut().find(|(id, _)| id == first)?.1.find_mut(rest),
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => out.push(if *value { 1 } else { 2 }),
            Self::Byte(value) => out.push(*value),
            Self::Int(_, value) => unsigned((value << 1 ^ value >> 63).cast_unsigned(), out),
            Self::Bytes(bytes) => {
                unsigned(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
            Self::List(kind, elements) => {
                match u8::try_from(elements.len()) {
                    Ok(count @ 0..15) => out.push(count << 4 | kind),
                    _ => {
                        out.push(0xf0 | kind);
                        unsigned(elements.len() as u64, out);
                    }
                }
                elements.iter().for_each(|element| element.write(out));
            }
            Self::Struct(members) => members.write(out),
        }
    }
}

impl Struct {
    /// Reads one from the front, and gives how many bytes it took.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let value = read_struct(&mut rest, DEPTH_MAX)?;
        Some((value, bytes.len() - rest.len()))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// What stands there: ids of members and numbers of elements in turn.
    pub(crate) fn find(&self, path: &[i16]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        self.0.iter().find(|(id, _)| id == first)?.1.find(rest)
    }

    /// The number there.
    pub(crate) fn number(&self, path: &[i16]) -> Option<i64> {
        self.find(path)?.number()
    }

    /// Puts a value there, instead of what there is.
    pub(crate) fn put(&mut self, path: &[i16], value: Value) {
        let Some((last, front)) = path.split_last() else { return };
        let members = match front.split_first() {
            None => &mut self.0,
            Some((first, rest)) => {
                let own = self.0.iter_mut().find(|(id, _)| id == first).and_then(|(_, own)| own.find_mut(rest));
                match own {
                    Some(Value::Struct(Self(members))) => members,
                    Some(Value::List(_, elements)) => {
                        if let Some(slot) = usize::try_from(*last).ok().and_then(|nth| elements.get_mut(nth)) {
                            *slot = value;
                        }
                        return;
                    }
                    _ => panic!("there is nothing at {front:?}"),
                }
            }
        };
        members.retain(|(id, _)| id != last);
        let at = members.partition_point(|(id, _)| id < last);
        members.insert(at, (*last, value));
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut last = 0i16;
        for (id, value) in &self.0 {
            match u8::try_from(id.wrapping_sub(last)) {
                Ok(step @ 1..=15) => out.push(step << 4 | value.kind()),
                _ => {
                    out.push(value.kind());
                    let id = i64::from(*id);
                    unsigned((id << 1 ^ id >> 63).cast_unsigned(), out);
                }
            }
            last = *id;
            if !matches!(value, Value::Bool(_)) {
                value.write(out);
            }
        }
        out.push(0);
    }
}

fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

fn read_unsigned(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(rest)?;
        value |= u64::from(next & 0x7f) << shift;
        if next < 0x80 {
            return Some(value);
        }
    }
    None
}

fn read_signed(rest: &mut &[u8]) -> Option<i64> {
    let value = read_unsigned(rest)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

fn read_value(kind: u8, rest: &mut &[u8], depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    Some(match kind {
        1 | 2 => Value::Bool(byte(rest)? == 1),
        3 => Value::Byte(byte(rest)?),
        4..=6 => Value::Int(kind, read_signed(rest)?),
        8 => {
            let length = usize::try_from(read_unsigned(rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Value::Bytes(bytes.to_vec())
        }
        9 => {
            let head = byte(rest)?;
            let count = if head >> 4 == 15 { read_unsigned(rest)? } else { u64::from(head >> 4) };
            let elements = (0..count).map(|_| read_value(head & 15, rest, depth)).collect::<Option<_>>()?;
            Value::List(head & 15, elements)
        }
        12 => Value::Struct(read_struct(rest, depth)?),
        _ => return None,
    })
}

fn read_struct(rest: &mut &[u8], depth: u8) -> Option<Struct> {
    let (mut members, mut last) = (Vec::new(), 0i16);
    loop {
        let head = byte(rest)?;
        if head == 0 {
            return Some(Struct(members));
        }
        let step = i16::from(head >> 4);
        last = if step == 0 { i16::try_from(read_signed(rest)?).ok()? } else { last.checked_add(step)? };
        let value = match head & 15 {
            kind @ (1 | 2) => Value::Bool(kind == 1),
            kind => read_value(kind, rest, depth)?,
        };
        members.push((last, value));
    }
}

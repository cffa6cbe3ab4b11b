//! Where a segment is read from.

use std::io;
use std::sync::Arc;

use crate::reads;

/// Bytes that can be read at any place, by several threads at once, and do not change while a segment is open.
pub trait ReadAt: Send + Sync {
    /// Reads up to `buf.len()` bytes from `offset` on. Gives how many were read: fewer only at the end, or to be asked again for the rest.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }
}

#[cfg(feature = "codec")]
impl ReadAt for bytes::Bytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        ReadAt::read_at(&**self, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        ReadAt::len(&**self)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        ReadAt::read_at(self.as_slice(), buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        ReadAt::len(self.as_slice())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }
}

/// Reads exactly `length` bytes, and puts `padding` zeros behind them. The caller has compared the place with the length of the input.
pub(crate) fn read_exact(input: &dyn ReadAt, offset: u64, length: usize, padding: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length + padding];
    fill(input, offset, bytes.get_mut(..length).unwrap_or_default())?;
    Ok(bytes)
}

/// Fills all of `bytes`.
pub(crate) fn fill(input: &dyn ReadAt, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    let (mut at, length) = (0, bytes.len());
    while at < length {
        let rest = bytes.get_mut(at..).unwrap_or_default();
        match input.read_at(rest, offset + at as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => at += read.min(length - at),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    reads::count_read(length);
    Ok(())
}

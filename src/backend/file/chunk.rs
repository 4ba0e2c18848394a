//! A chunk of a file in the spool: streamed, never whole in memory.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::digest::Digest;
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read from the file at once.
const BLOCK: u64 = 256 * 1024;

/// Bytes handed on at once: what must move within the client's patience, also on the slowest links.
const PIECE: usize = 64 * 1024;

/// A part of a file.
#[derive(Debug, Clone)]
pub(in crate::backend) struct Chunk {
    pub(in crate::backend) file: Arc<File>,
    pub(in crate::backend) offset: u64,
    pub(in crate::backend) size: u64,
}

impl Chunk {
    /// Where it ends in the file.
    pub(in crate::backend) fn end(&self) -> u64 {
        self.offset + self.size
    }

    /// The digest of its bytes, made on a thread for what blocks.
    pub(in crate::backend) async fn digest<D: Digest>(&self) -> io::Result<Vec<u8>> {
        let chunk = self.clone();
        spawn_blocking(move || chunk.digested::<D>()).await.map_err(io::Error::other)?
    }

    fn digested<D: Digest>(self) -> io::Result<Vec<u8>> {
        let mut digest = D::new();
        let mut offset = self.offset;
        while offset < self.end() {
            let block = read(&self.file, offset, self.end() - offset)?;
            digest.update(&block);
            offset += block.len() as u64;
        }
        Ok(digest.finalize().to_vec())
    }

    /// Its bytes.
    pub(in crate::backend) fn stream(self) -> Stream {
        Stream {
            left: self.size,
            block: Bytes::new(),
            ahead: None,
            offset: self.offset,
            end: self.end(),
            file: self.file,
        }
    }
}

/// The bytes of a chunk, one block read ahead.
#[derive(Debug)]
pub(in crate::backend) struct Stream {
    file: Arc<File>,
    /// Bytes that were not handed on yet.
    left: u64,
    /// What is left of the block that is handed on.
    block: Bytes,
    /// The block after it.
    ahead: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// Where the block ahead begins.
    offset: u64,
    end: u64,
}

impl Stream {
    fn read_ahead(&mut self) {
        if self.ahead.is_none() && self.offset < self.end {
            let (file, offset, left) = (Arc::clone(&self.file), self.offset, self.end - self.offset);
            self.ahead = Some(spawn_blocking(move || read(&file, offset, left)));
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.read_ahead();
        if self.block.is_empty() {
            let Some(ahead) = &mut self.ahead else { return Poll::Ready(None) };
            let read = ready!(Pin::new(ahead).poll(context));
            self.ahead = None;
            match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(block) => {
                    self.offset += block.len() as u64;
                    self.block = block.into();
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            self.read_ahead();
        }
        let size = self.block.len().min(PIECE);
        let piece = self.block.split_to(size);
        self.left -= size as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The next block of at most `left` bytes.
fn read(file: &File, offset: u64, left: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(left.min(BLOCK)).unwrap_or_default();
    let mut block = Vec::with_capacity(size);
    while block.len() < size {
        let from = offset + block.len() as u64;
        // Into memory as it is: filling it first would cost as much as reading.
        if rustix::io::pread(file, rustix::buffer::spare_capacity(&mut block), from)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    block.truncate(size);
    Ok(block)
}

//! Open sockets on their way from one process to the next, over a Unix socket (SCM_RIGHTS, unix(7)).

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends one line of text, and descriptors with it.
pub fn send(socket: &UnixStream, line: &str, descriptors: &[OwnedFd]) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more sockets than can be handed over at once"));
    }
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the sockets do not fit in a message"));
    }
    let text = format!("{line}\n");
    let sent = sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    io::Write::write_all(&mut &*socket, text.as_bytes().get(sent..).unwrap_or_default())
}

/// Receives one line and its descriptors, each closed for programs that are started later.
pub fn receive(socket: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = vec![0; LINE_BYTES_MAX];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            descriptors.extend(given);
        }
    }
    buffer.truncate(received.bytes);
    let mut byte = [0];
    while buffer.last() != Some(&b'\n') {
        if buffer.len() >= LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line does not end"));
        }
        (&*socket).read_exact(&mut byte)?;
        buffer.extend(byte);
    }
    let line = String::from_utf8(buffer).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is no text"))?;
    Ok((line, descriptors))
}

/// The kernel's own bound is 253 (SCM_MAX_FD).
const DESCRIPTORS_MAX: usize = 240;
const LINE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listening_socket_goes_on_listening_in_other_hands() {
        let (one, other) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        send(&one, "words", &[listener.into()]).unwrap();
        let (line, mut descriptors) = receive(&other).unwrap();
        assert_eq!(line, "words\n");
        let listener = TcpListener::from(descriptors.remove(0));
        TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
        drop(one);
        assert!(receive(&other).is_err(), "the end of the socket is no line");
    }
}

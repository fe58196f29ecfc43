//! The role sockets: many requests at a time, and nothing that the socket does not permit.

use sluse_host::rpc::{CallError, Client, serve, serve_within, turn_away};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{DeliverReply, DeliverRequest, InspectReply, InspectRequest};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

type Deliver = Client<DeliverRequest, DeliverReply>;

#[test]
fn a_slow_request_does_not_hold_up_a_quick_one() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        serve(theirs, |request: DeliverRequest, body| match request {
            DeliverRequest::Next => {
                std::thread::sleep(Duration::from_millis(300));
                (DeliverReply::Idle, Vec::new())
            }
            _ => (DeliverReply::Done, body),
        })
    });
    let client = Arc::new(Deliver::new(ours).unwrap());
    let (order, answers) = mpsc::channel();
    for request in [DeliverRequest::Next, DeliverRequest::Recipient { recipient: "age1".into() }] {
        let order = order.clone();
        client.start(&request, b"body", move |answer| order.send(answer.unwrap()).unwrap());
    }
    assert_eq!(answers.recv().unwrap(), (DeliverReply::Done, b"body".to_vec()));
    assert_eq!(answers.recv().unwrap(), (DeliverReply::Idle, Vec::new()));
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn a_request_of_another_roles_socket_ends_the_connection() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        serve(theirs, |_: DeliverRequest, _| -> (DeliverReply, Vec<u8>) { unreachable!("nothing is permitted here") })
    });
    let client: Client<InspectRequest, InspectReply> = Client::new(ours).unwrap();
    let refused = client.call(&InspectRequest::Identities { recipients: vec![] }, &[]);
    assert!(matches!(refused, Err(CallError::Lost)));
    assert!(client.is_lost());
    assert!(server.join().unwrap().is_err());
}

#[test]
fn a_frame_that_claims_too_much_ends_the_connection_before_anything_is_read() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || serve(theirs, |_: DeliverRequest, body| (DeliverReply::Done, body)));
    ours.write_all(&[0xff; 8]).unwrap();
    assert_eq!(ours.read(&mut [0; 1]).unwrap(), 0);
    assert!(server.join().unwrap().is_err());
}

#[test]
fn who_is_turned_away_hears_one_refusal_and_nothing_more() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let refused = DeliverReply::Refused(Refusal::new(Code::Forbidden, "nobody knows you"));
    let answer = refused.clone();
    let server = std::thread::spawn(move || turn_away(theirs, &answer));
    let client = Deliver::new(ours).unwrap();
    assert_eq!(client.call(&DeliverRequest::Next, &[]).unwrap().0, refused);
    server.join().unwrap().unwrap();
    assert!(matches!(client.call(&DeliverRequest::Next, &[]), Err(CallError::Lost)));
}

#[test]
fn no_more_requests_are_answered_at_a_time_than_the_socket_allows() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = std::thread::spawn(move || {
        serve_within(2, theirs, move |_: DeliverRequest, _| {
            seen.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(10));
            at_once.fetch_sub(1, Ordering::SeqCst);
            (DeliverReply::Done, Vec::new())
        })
    });
    let client = Deliver::new(ours).unwrap();
    let (answered, answers) = mpsc::channel();
    for _ in 0..16 {
        let answered = answered.clone();
        client.start(&DeliverRequest::Next, &[], move |answer| answered.send(answer.unwrap()).unwrap());
    }
    (0..16).for_each(|_| assert_eq!(answers.recv().unwrap().0, DeliverReply::Done));
    assert!(most.load(Ordering::SeqCst) <= 2);
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn calls_after_the_end_are_answered_as_lost() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Deliver::new(ours).unwrap();
    drop(theirs);
    assert!(matches!(client.call(&DeliverRequest::Next, &[]), Err(CallError::Lost)));
}

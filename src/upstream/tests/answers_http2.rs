//! Answers over HTTP/2 that are none, or that two programs could delimit in two ways (SM-18), frame by frame: nobody takes them for whole, and
//! nobody gets what is left of them.

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

type Part = (u8, u8, Vec<u8>);

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn head(flags: u8, fields: &[(&str, &str)]) -> Part {
    (HEADERS, flags | END_HEADERS, block(fields))
}

fn data(flags: u8, bytes: &str) -> Part {
    (DATA, flags, bytes.as_bytes().to_vec())
}

fn frame(stream: u32, (kind, flags, payload): &Part) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[*kind, *flags], &stream.to_be_bytes(), payload].concat()
}

/// An upstream that answers the first request with these frames, and every other one as it should.
async fn answering_first(answer: Vec<Part>) -> Bench {
    let first = Arc::new(AtomicUsize::new(0));
    let (address, _) = upstream(move |mut stream, _| {
        let (answer, first) = (answer.clone(), Arc::clone(&first));
        async move {
            stream.read_exact(&mut [0; 24]).await.unwrap();
            stream.write_all(&frame(0, &(SETTINGS, 0, Vec::new()))).await.unwrap();
            let mut start = [0; 9];
            while stream.read_exact(&mut start).await.is_ok() {
                let mut payload = vec![0; usize::from(start[0]) << 16 | usize::from(start[1]) << 8 | usize::from(start[2])];
                if stream.read_exact(&mut payload).await.is_err() {
                    return;
                }
                let number = u32::from_be_bytes([start[5], start[6], start[7], start[8]]);
                let sent = match start[3] {
                    SETTINGS if start[4] == 0 => frame(0, &(SETTINGS, 1, Vec::new())),
                    HEADERS if first.fetch_add(1, Ordering::SeqCst) == 0 => answer.iter().flat_map(|part| frame(number, part)).collect(),
                    HEADERS => [frame(number, &head(0, &[(":status", "200")])), frame(number, &data(END_STREAM, "good"))].concat(),
                    _ => continue,
                };
                if stream.write_all(&sent).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    Bench::with(vec![at(Scheme::Http, &address.ip().to_string(), address.port())], |way| way.protocol = Protocol::Http2)
}

/// What the one who asked got, and what the next one did.
async fn told(answer: Vec<Part>) -> (Result<(u16, String), u16>, Result<(u16, String), u16>) {
    let bench = answering_first(answer).await;
    let asked = async || {
        let response = bench.forward(get("/x")).await.map_err(|refusal| refusal.status())?;
        let status = response.status().as_u16();
        let text = response.into_body().collect().await.map_or_else(|_| b"broken".to_vec(), |whole| whole.to_bytes().to_vec());
        Ok((status, String::from_utf8(text).unwrap()))
    };
    let first = tokio::time::timeout(std::time::Duration::from_secs(20), asked()).await.expect("an answer or a refusal");
    (first, asked().await)
}

#[tokio::test]
async fn a_body_of_another_length_than_it_has_is_nobodys_whole() {
    let said = |length| head(0, &[(":status", "200"), ("content-length", length)]);
    for answer in [
        vec![said("9"), data(END_STREAM, "evil")],
        vec![said("2"), data(END_STREAM, "evil")],
        vec![said("2"), data(0, "ev"), data(END_STREAM, "il")],
        vec![head(END_STREAM, &[(":status", "200"), ("content-length", "4")])],
        vec![said("4"), data(0, "ev"), head(END_STREAM, &[("x", "a")])],
    ] {
        let (first, next) = told(answer.clone()).await;
        assert!(matches!(&first, Err(502) | Ok((200, _))), "{answer:?}: {first:?}");
        assert!(first.as_ref().map_or(true, |(_, text)| text == "broken"), "{answer:?}: {first:?}");
        assert_eq!(next, Ok((200, "good".into())), "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_its_upstream_takes_back_is_nobodys_whole() {
    let ok = || head(0, &[(":status", "200")]);
    let said = || head(0, &[(":status", "200"), ("content-length", "4")]);
    // NO_ERROR, INTERNAL_ERROR, CANCEL.
    for code in [0_u32, 2, 8] {
        let reset = || (RST_STREAM, 0, code.to_be_bytes().to_vec());
        for answer in [vec![ok(), reset()], vec![ok(), data(0, "ev"), reset()], vec![said(), data(0, "ev"), reset()]] {
            let (first, next) = told(answer.clone()).await;
            assert!(first.as_ref().map_or(true, |(_, text)| text == "broken"), "{answer:?}: {first:?}");
            assert_eq!(next, Ok((200, "good".into())), "{answer:?}");
        }
        // What had come whole before stays whole.
        let (first, next) = told(vec![ok(), data(END_STREAM, "good"), reset()]).await;
        assert_eq!((first, next), (Ok((200, "good".into())), Ok((200, "good".into()))), "{code}");
    }
    let (first, _) = told(vec![said(), data(0, "good"), (RST_STREAM, 0, vec![0; 4])]).await;
    assert_eq!(first, Ok((200, "good".into())));
}

#[tokio::test]
async fn frames_out_of_their_order_are_no_answer() {
    let ok = || head(0, &[(":status", "200")]);
    for answer in [
        vec![data(END_STREAM, "evil")],
        vec![ok(), (CONTINUATION, END_HEADERS, block(&[("x", "a")]))],
        vec![(HEADERS, 0, block(&[(":status", "200")])), data(END_STREAM, "evil")],
        vec![ok(), ok(), data(END_STREAM, "evil")],
        vec![(HEADERS, END_HEADERS, vec![0x80]), data(END_STREAM, "evil")],
    ] {
        let (first, next) = told(answer.clone()).await;
        assert!(first.as_ref().map_or(true, |(_, text)| text == "broken"), "{answer:?}: {first:?}");
        assert_eq!(next, Ok((200, "good".into())), "{answer:?}");
    }
}

#[tokio::test]
async fn interim_answers_are_dropped_and_a_flood_of_them_is_no_answer() {
    let interim = || head(0, &[(":status", "102")]);
    let answer = |count| [vec![interim(); count], vec![head(0, &[(":status", "200")]), data(END_STREAM, "good")]].concat();
    assert_eq!(told(answer(32)).await.0, Ok((200, "good".into())));
    let (first, next) = told(answer(33)).await;
    assert_eq!((first, next), (Err(502), Ok((200, "good".into()))));
    // What is not answered at all is told why.
    let bench = answering_first(vec![interim(); 100_000]).await;
    super::framing::assert_flooded(&bench.forward(get("/x")).await.map(drop).expect_err("a flood"));
    assert_eq!(bench.get("/x").await.unwrap(), (200, "good".into()));
}

#[tokio::test]
async fn streams_that_are_answered_one_after_the_other_share_no_more_than_a_connection_may_need() {
    let allowance = crate::upstream::stream::Allowance::new();
    (0..1_000).for_each(|_| allowance.begin_stream());
    allowance.spend_heads(33 * 100);
    assert!(!allowance.is_flooded());
    allowance.spend_heads(1);
    assert!(allowance.is_flooded());
}

//! Documents that act, and files that are two.

use super::tests::{classes, zip};
use super::*;

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() + 100);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), true);
    compress.compress_vec(bytes, &mut packed, flate2::FlushCompress::Finish).unwrap();
    packed
}

/// A document with this object, and one stream with that dictionary and data.
fn pdf(object: &str, dictionary: &str, data: &[u8]) -> Vec<u8> {
    let start =
        format!("%PDF-1.7\n1 0 obj\n<< /Type /Catalog {object} >>\nendobj\n2 0 obj\n<< {dictionary} >>\nstream\r\n");
    [start.as_bytes(), data, b"\nendstream\nendobj\ntrailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"].concat()
}

fn is_active(bytes: &[u8]) -> bool {
    let mut classes = classes("x", bytes, &[]);
    classes.dedup();
    classes == [Class::ActiveContent]
}

#[test]
fn what_acts_in_a_pdf_document_is_named() {
    let acts = [
        "/OpenAction << /S /JavaScript /JS (app.alert(1)) >>",
        "/AA << /O << /S /Launch /F (cmd.exe) >> >>",
        "/Names << /EmbeddedFiles 3 0 R >> /EF << /F 3 0 R >> /Type /EmbeddedFile",
        "/S/GoToR",
        "/AcroForm << /XFA 4 0 R >>",
        "/A << /S /SubmitForm /F (http://x) >>",
        "/A<</JS(x)>>",
        // The same names with escapes.
        "/S /J#61vaScript",
        "/#4a#61#76#61#53#63#72#69#70#74 5 0 R",
        "/Open#41ction 5 0 R",
    ];
    for object in acts {
        assert!(is_active(&pdf(object, "/Length 3", b"abc")), "{object}");
    }
    let plain =
        ["/OpenAction 5 0 R", "/OpenAction [3 0 R /Fit]", "/JavaScripts 1", "/Title (JavaScript)", "/Font /JSans"];
    for object in plain {
        assert_eq!(classes("x", &pdf(object, "/Length 3", b"abc"), &[]), [], "{object}");
    }
}

#[test]
fn what_is_packed_into_object_streams_is_found() {
    let objects = deflated(b"1 0 2 30 << /S /JavaScript /JS (app.alert(1)) >>");
    let dictionary = "/Type /ObjStm /N 2 /First 8 /Filter /FlateDecode /Length 99";
    assert!(is_active(&pdf("", dictionary, &objects)));
    assert!(is_active(&pdf("", "/Type /O#62jStm /Filter [/Fl#61teDecode]", &objects)));
    assert!(is_active(&pdf("", "/Type /ObjStm", b"<< /S /Launch >>")));
    let harmless = deflated(b"1 0 << /Type /Page >>");
    assert_eq!(classes("x", &pdf("", dictionary, &harmless), &[]), []);
    // Packed otherwise: not inspected.
    for filters in ["[/ASCIIHexDecode /FlateDecode]", "/LZWDecode", "/FlateDecode /DecodeParms << /Predictor 12 >>"] {
        let dictionary = format!("/Type /ObjStm /Filter {filters}");
        assert_eq!(classes("x", &pdf("", &dictionary, &objects), &[]), [Class::NotInspected], "{filters}");
    }
    assert_eq!(classes("x", &pdf("", dictionary, b"broken"), &[]), [Class::NotInspected]);
    // Objects behind the stream are read again.
    let behind = [&pdf("", dictionary, &harmless)[..], b"6 0 obj << /S /Launch >> endobj\n"].concat();
    assert!(is_active(&behind));
}

#[test]
fn chance_in_the_data_of_a_picture_is_no_name() {
    assert_eq!(classes("x", &pdf("", "/Filter /DCTDecode", b"..../JS ..../AA<\xff/XFA "), &[]), []);
    assert!(is_active(&pdf("", "/Filter /DCTDecode", b".... /JavaScript ...")));
}

#[test]
fn an_encrypted_pdf_document_cannot_be_inspected() {
    assert_eq!(classes("x", &pdf("/Encrypt 9 0 R", "/Length 3", b"abc"), &[]), [Class::Encrypted]);
}

#[test]
fn scripts_in_drawings_and_pages_are_named() {
    let acts = [
        "<svg><script>alert(1)</script></svg>",
        "<svg><SCRIPT xlink:href='x'/></svg>",
        "<svg xmlns:s='http://www.w3.org/2000/svg'><s:script>x</s:script></svg>",
        "<svg onload=\"x()\"></svg>",
        "<svg><rect width='1'onclick='x'/></svg>",
        "<svg/onload=x>",
        "<svg><a xlink:href=\"java\nscript:x\">x</a></svg>",
        "<svg><a href='&#106;avascript:x'/></svg>",
        "<svg><foreignObject><p/></foreignObject></svg>",
        "<svg><a title='>' onfocus = x /></svg>",
        "<html><script src=x></script></html>",
        "<html><body onload=x></html>",
        "<html><iframe src=x></iframe></html>",
        "<!DOCTYPE html><html><a href=JaVaScRiPt:x>x</a></html>",
        "<html><object data=x></object></html>",
    ];
    for text in acts {
        assert!(is_active(text.as_bytes()), "{text}");
    }
    let wide: Vec<u8> = "\u{feff}<html><script>x</script></html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(is_active(&wide));
    let plain = [
        "<svg xmlns='http://www.w3.org/2000/svg'><rect on='x' only='2'/><text>onload=1 javascript:</text></svg>",
        "<html><p>a script, <b>onclick=</b></p></html>",
        "<ODM onset='2' online='x'><Form onbehalf='y'/></ODM>",
        "<svg><a href='https://example.org/?a=1&amp;b=javascript'/></svg>",
    ];
    for text in plain {
        assert_eq!(classes("x", text.as_bytes(), &[]), [], "{text}");
    }
    assert!(is_active(b"<ODM><script>x</script></ODM>"), "a browser runs it if its namespace says so");
}

#[test]
fn embedded_objects_of_office_documents_are_named() {
    let book = |part: &str| zip(&[("xl/workbook.xml", b"<w/>"), (part, b"x")], 0);
    for part in ["xl/activeX/activeX1.bin", "xl/embeddings/oleObject1.bin"] {
        assert_eq!(classes("x.xlsx", &book(part), &[]), [Class::ActiveContent], "{part}");
    }
    for part in ["xl/VBAProject.bin", "xl/macrosheets/sheet1.xml"] {
        assert_eq!(classes("x.xlsx", &book(part), &[]), [Class::Executable], "{part}");
    }
    assert_eq!(classes("x.xlsx", &book("xl/embeddings/table.xlsx"), &[]), []);
    assert_eq!(classes("x.rtf", b"{\\rtf1 {\\object\\objdata 0105}}", &[]), [Class::ActiveContent]);
    assert_eq!(classes("x.rtf", b"{\\rtf1 plain}", &[]), []);
    let wide: Vec<u8> = "\u{1}Ole10Native".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let old = [compound::MAGIC, &vec![0; 5000], &wide, &[0; 99]].concat();
    assert_eq!(classes("x.doc", &old, &[]), [Class::ActiveContent]);
}

#[test]
fn files_that_are_two_are_named() {
    let archive = zip(&[("a", b"1")], 0);
    let gifar = [&b"GIF89a\x01\0\x01\0\0\0\0;"[..], &archive].concat();
    assert_eq!(classes("x.gif", &gifar, &[]), [Class::Polyglot]);
    let document = pdf("", "/Length 3", b"abc");
    assert_eq!(classes("x.pdf", &[&document[..], &archive].concat(), &[]), [Class::Polyglot]);
    assert_eq!(classes("x.gif", b"GIF89a=1;/*", &[]), [Class::Polyglot]);
    let picture = [&b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], &document].concat();
    assert_eq!(classes("x.jpg", &picture, &[]), [Class::Polyglot]);
    // A preamble that is a Windows program.
    let mut dicom = vec![0; 0x200];
    dicom[..6].copy_from_slice(b"MZ\x90\0\x03\0");
    dicom[0x3c] = 0xf0;
    dicom[128..132].copy_from_slice(b"DICM");
    dicom[0xf0..0xf4].copy_from_slice(b"PE\0\0");
    assert_eq!(classes("x.dcm", &dicom, &[]), [Class::Executable, Class::TypeMismatch, Class::Polyglot]);
    // One that is a TIFF's, as whole-slide images have it, is none.
    let mut slide = vec![0; 0x200];
    slide[..4].copy_from_slice(b"II*\0");
    slide[128..132].copy_from_slice(b"DICM");
    assert_eq!(classes("x.dcm", &slide, &[]), []);
}

#[test]
fn block_compressed_genomics_are_told_apart_by_what_they_hold() {
    let block = |content: &[u8]| {
        let zlib = deflated(content);
        let raw = &zlib[2..zlib.len() - 4];
        let size = (raw.len() + 25) as u16;
        let start = [&b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0"[..], &size.to_le_bytes(), raw].concat();
        let end = [crc32fast::hash(content).to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        let empty = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0";
        [&start[..], &end, empty].concat()
    };
    let cases: [(&[u8], &str, &str); 4] = [
        (b"BAM\x01\0\0\0\0", "x.bam", "bam"),
        (b"BCF\x02\x02\0\0\0", "x.bcf", "bcf"),
        (b"##fileformat=VCFv4.2\n", "x.vcf.gz", "bgzf"),
        (b"TBI\x01\0\0", "x.vcf.gz.tbi", "genomic-index"),
    ];
    for (content, name, one) in cases {
        assert_eq!(classes(name, &block(content), &[one]), [], "{name}");
    }
    assert_eq!(classes("x.bam", &block(b"##fileformat=VCFv4.2\n"), &[]), [Class::TypeMismatch]);
    let cut = block(b"BAM\x01\0\0\0\0");
    assert_eq!(classes("x.bam", &cut[..cut.len() - 28], &[]), [Class::Malformed]);
}

proptest::proptest! {
    #[test]
    fn where_a_document_is_cut_changes_nothing(
        places in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u8>()), 0..20),
        seed in 0..6usize,
    ) {
        let packed = deflated(b"<< /S /JavaScript /JS (x) >>");
        let seeds: [Vec<u8>; 6] = [
            pdf("/S /Launch", "/Type /ObjStm /Filter /FlateDecode", &packed),
            b"<svg onload='x()'><script>x</script><a href=\"javascript:x\"/></svg>".to_vec(),
            zip(&[("xl/workbook.xml", b"<w/>"), ("xl/vbaProject.bin", b"x")], 0),
            [compound::MAGIC, &b"_VBA_PROJECT".map(|byte| [byte, 0]).concat(), &[0; 200]].concat(),
            b"{\\rtf1 {\\object\\objdata 0105}}".to_vec(),
            b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0".to_vec(),
        ];
        let mut bytes = seeds[seed].clone();
        for (place, value) in places {
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        // Each of several cuts must see the same.
        classes("x", &bytes, &[]);
    }
}

"""Makes the files of tests/tests/content.rs in a folder: `vectors.py FOLDER`, the harmless test virus on standard input.

Nothing here is malware, and no number is a person's: they are computed."""
import base64
import email.message
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

folder = sys.argv[1]
virus = sys.stdin.buffer.read()


def put(path, data):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    return path


def zipped(members, method=zipfile.ZIP_DEFLATED, force_zip64=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=force_zip64) as entry:
                entry.write(data)
    return out.getvalue()


def tarred(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def run(where, *command):
    subprocess.run(command, cwd=os.path.join(folder, where), check=True, stdout=subprocess.DEVNULL)


def resident(serial):
    """The serial-th valid number of a birth date that most have none of."""
    found = 0
    for rest in range(100, 1000):
        nine = f"290264{rest}"
        weigh = lambda digits, weights: -sum(int(d) * w for d, w in zip(digits, weights)) % 11
        one = weigh(nine, (3, 7, 6, 1, 8, 9, 4, 5, 2))
        two = weigh(f"{nine}{one}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
        if one < 10 and two < 10:
            if found == serial:
                return f"{nine}{one}{two}"
            found += 1
    raise ValueError(serial)


def dicom(*more, preamble=bytes(128), name=b"P001"):
    def element(group, number, kind, value):
        value += b"\0" * (len(value) % 2) if kind in (b"UI", b"OB") else b" " * (len(value) % 2)
        head = struct.pack("<HH", group, number) + kind
        if kind in (b"OB", b"SQ", b"UN"):
            return head + struct.pack("<HI", 0, len(value)) + value
        return head + struct.pack("<H", len(value)) + value

    kind, instance = b"1.2.840.10008.5.1.4.1.1.4", b"2.25.17"
    meta = element(2, 2, b"UI", kind) + element(2, 3, b"UI", instance) + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")
    head = preamble + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta
    body = [
        (8, 0x16, b"UI", kind),
        (8, 0x18, b"UI", instance),
        (8, 0x60, b"CS", b"MR"),
        (0x10, 0x10, b"PN", name),
        (0x10, 0x20, b"LO", b"P001"),
        (0x12, 0x62, b"CS", b"YES"),
        (0x20, 0xD, b"UI", b"2.25.18"),
        (0x20, 0xE, b"UI", b"2.25.19"),
    ]
    made = [(group, number, element(group, number, kind, value)) for group, number, kind, value in body]
    for group, number, kind, value in more:
        if kind == b"SQ":
            items = b"".join(element(*one) for one in value)
            value = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(items)) + items
        made.append((group, number, element(group, number, kind, value)))
    return head + b"".join(data for _, _, data in sorted(made))


def book(*more):
    parts = [("[Content_Types].xml", b"<Types/>"), ("xl/workbook.xml", b"<workbook/>"), ("xl/styles.xml", b"<styles/>")]
    return zipped(parts + list(more))


def malware():
    whole = zipped([("readme.txt", b"nothing\n" * 100), ("virus.com", virus)])
    put("malware/plain.com", virus)
    put("malware/deflated.zip", whole)
    put("malware/nested.tar.gz", tarred([("inner.tar.gz", tarred([("virus.com", virus)], "w:gz"))], "w:gz"))
    put("malware/book.xlsx", book(("xl/media/image1.png", virus)))
    put("malware/lzma.zip", zipped([("virus.com", virus)], zipfile.ZIP_LZMA))
    put("malware/bzip2.zip", zipped([("virus.com", virus)], zipfile.ZIP_BZIP2))
    put("malware/second-of-two.zip", zipped([("a.txt", b"nothing")]) + whole)
    put("malware/zip64.zip", zipped([("virus.com", virus)], force_zip64=True))
    put("malware/truncated.zip", whole[: whole.index(b"PK\x01\x02")])
    put("malware/behind.csv.gz", gzip.compress(b"a;b\n1;2\n") + virus)
    attachment = base64.encodebytes(b"a letter\n" * 20 + virus).decode()
    put("malware/odm.xml", f"<?xml version='1.0'?>\n<ODM><ItemDataBase64Binary>{attachment}</ItemDataBase64Binary></ODM>\n")
    packed = base64.b64encode(whole).decode()
    put("malware/attachment.json", f'{{"resourceType":"Binary","contentType":"application/zip","data":"{packed}"}}\n')
    letter = email.message.EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "a@example.org", "b@example.org", "a file"
    letter.set_content("See the file.\n")
    letter.add_attachment(whole, maintype="application", subtype="zip", filename="a.zip")
    put("malware/letter.eml", letter.as_bytes())
    for command in (["7zz", "a", "virus.7z"], ["xz", "-k"], ["zstd", "-q"], ["bzip2", "-k"]):
        put("malware/virus", virus)
        run("malware", *command, "virus")
    os.remove(os.path.join(folder, "malware/virus"))


def many_entries(count):
    local, central, place = [], [], 0
    for number in range(count):
        name = b"%06d.txt" % number
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0)
        local.append(b"PK\3\4" + fields + name)
        central.append(b"PK\1\2\x14\0" + fields + struct.pack("<HHHII", 0, 0, 0, 0, place) + name)
        place += len(local[-1])
    directory = b"".join(central)
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), place)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, place + len(directory), 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(directory), place, 0)
    return b"".join(local) + directory + end64 + locator + end


def overlapping():
    """Two entries of the directory, one and the same data."""
    name, data = b"a.txt", b"nothing" * 100
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0)
    local = b"PK\3\4" + fields + name + data
    entry = lambda name: b"PK\1\2\x14\0" + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    directory = entry(b"a.txt") + entry(b"b.txt")
    return local + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 2, 2, len(directory), len(local), 0)


def bgzf(data):
    """One block of BGZF, without the empty one that ends a file."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packed.compress(data) + packed.flush()
    extra = b"BC\2\0" + struct.pack("<H", len(packed) + 25)
    head = b"\x1f\x8b\x08\4" + bytes(6) + struct.pack("<H", len(extra)) + extra
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))


def forged():
    table = b"a;b\n1;2\n"
    put("forged/overlap.zip", overlapping())
    put("forged/many.zip", many_entries(1_000_000))
    put("forged/zeros.gz", gzip.compress(bytes(16 << 20)) * 640)
    put("forged/secret.csv", table)
    run("forged", "zip", "-q", "-P", "word", "locked.zip", "secret.csv")
    run("forged", "7zz", "a", "-pword", "locked.7z", "secret.csv")
    run("forged", "7zz", "a", "-pword", "-mhe=on", "locked-names.7z", "secret.csv")
    os.remove(os.path.join(folder, "forged/secret.csv"))
    for name, path in (("climb", "../../etc/cron.d/a"), ("absolute", "/etc/passwd"), ("turned", "a\u202evsc.exe"),
                       ("escape", "a\x1b[2J.csv")):
        put(f"forged/{name}.zip", zipped([(path, table)]))
        put(f"forged/{name}.tar", tarred([(path, table)]))
    program = bytearray(0x200)
    program[:6], program[0x3C] = b"MZ\x90\0\3\0", 0xF0
    disguised = bytearray(dicom(preamble=bytes(program[:128])) + bytes(512))
    put("forged/preamble.dcm", bytes(disguised))
    put("forged/cut.ndjson", b'{"resourceType":"Observation","id":"1"}\n{"resourceType":"Obser')
    put("forged/cut.parquet", b"PAR1" + bytes(1000))
    put("forged/cut.bam", bgzf(b"BAM\1" + bytes(100)))
    put("forged/nul.csv", b"a;b\n1;\0\n")
    put("forged/delimiter.csv", b"a;b\n1;2\n3,4\n")
    put("forged/grows.xml", '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>')
    put("forged/reads.xml", '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>')
    put("forged/t\u202evsc.csv", table)
    inner = zipped([("a.csv", table)])
    for _ in range(20):
        inner = zipped([("r/r.zip", inner)])
    put("forged/deep.zip", inner)
    put("forged/old.rar", b"Rar!\x1a\7\1\0" + bytes(100))
    put("forged/names.cpio", b"070701" + b"00000000" * 12 + b"0000000BTRAILER!!!\0")
    put("forged/frame.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(100))
    put("forged/files.cab", b"MSCF" + bytes(100))
    put("forged/cut.cram", seed("cram", "made-2")[:-20])
    put("forged/tool.zip", zipped([("notes.csv", b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0\1\0\0\0")]))
    put("forged/macros.zip", zipped([("book.xlsx", book(("xl/vbaProject.bin", b"x")))]))
    put("forged/acts.svg.gz", gzip.compress(b"<svg><script>alert(1)</script></svg>"))
    put("forged/acts.pdf", b"%PDF-1.7\n1 0 obj\n<< /OpenAction << /S /JavaScript /JS (x) >> >>\nendobj\nstartxref\n0\n%%EOF\n")


def seed(kind, name):
    """What the fuzzer begins with; the first byte is its own."""
    seeds = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../fuzz/seeds")
    with open(os.path.join(seeds, kind, name), "rb") as file:
        return file.read()[1:]


def persons():
    """Numbers in places of every kind; each file has one of its own, and they are listed on standard output."""
    serial = iter(range(100))

    def number():
        made = resident(next(serial))
        print(made)
        return made

    # Across the border of two chunks: this file comes first in the dataset.
    border = 4 << 20
    head = b"note,fnr\n"
    put("persons/0-border.csv", head + b"x" * (border - len(head) - 6) + b"," + number().encode() + b"\n")
    put("persons/quoted.csv", f'"id","fnr"\n"1","{number()}"\n')
    put("persons/wide.csv", "\ufefffnr;a\r\n{};1\r\n".format(number()).encode("utf-16-le"))
    patient = '{{"resourceType":"Patient","id":"1","identifier":[{{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"{}"}}]}}\n'
    put("persons/Patient.ndjson", patient.format(number()))
    put("persons/batch.hl7", f"MSH|^~\\&|a|b|c|d|20260101||ORU^R01|1|P|2.5\rPID|1||{number()}^^^FNR\r")
    put("persons/message.xml", f"<a><Ident><Id>{number()}</Id><TypeId V='FNR'/></Ident><fnr>{number()}</fnr></a>")
    put("persons/nested.dcm", dicom((0x40, 0x275, b"SQ", [(0x10, 0x1000, b"LO", number().encode())])))
    put("persons/table.zip", zipped([("deep/table.csv", f"fnr\n{number()}\n".encode())]))
    put("persons/name.zip", zipped([(f"pas_{number()}.csv", b"a;b\n1;2\n")]))
    put("persons/letter.txt", f"Pasienten ({number()}) ble innlagt.\n")
    sheet = "".join(f"<si><t>{number()}</t></si>" for _ in range(3))
    put("persons/book.xlsx", book(("xl/sharedStrings.xml", f"<sst>{sheet}</sst>".encode())))
    # What other programs wrote. The numbers in them are those that the population register gives as examples.
    print("02013299997\n30108299920")
    for kind, name in (("sav", "persons-plain"), ("sav", "persons-codes"), ("sav", "persons-blocks"), ("dta", "persons-114"), ("dta", "persons-118"),
                       ("xpt", "persons-5"), ("sas7bdat", "persons-wide-little"), ("png", "persons"), ("jpeg", "persons"), ("cram", "made-3")):
        put(f"persons/{name}.{kind}", seed(kind, name))
    row = '<row><c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c><c r="B{0}"{2}<v>{3}</v></c></row>'
    rows = row.format(1, "age", ' t="str">', "fnr") + row.format(2, "44", ">", number())
    put("persons/column.xlsx", book(("xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{rows}</sheetData></worksheet>".encode())))


def rules():
    put("rules/columns.csv", "pseudonym,age,shoe_size\nP001,44,39\n")
    put("rules/columns.csv.gz", gzip.compress(b"pseudonym,age,shoe_size\nP001,44,39\n"))
    put("rules/patterns.txt", "see NPR-12345678\n")
    put("rules/patterns.zip", zipped([("a.txt", b"see NPR-12345678\n")]))
    put("rules/identifiers.csv", f"fnr\n{resident(90)}\n")
    put("rules/pseudonym.dcm", dicom(name=b"Q001"))
    put("rules/private.dcm", dicom((0x11, 0x10, b"LO", b"MAKER"), (0x11, 0x1001, b"LO", b"x")))
    put("rules/good.dcm", dicom())
    put("rules/good.csv", "pseudonym,age\nP001,44\n")


def export():
    """A FHIR export whose manifest is right of one file only."""
    lines = lambda kind, count: "".join(f'{{"resourceType":"{kind}","id":"{number}"}}\n' for number in range(count))
    output = lambda kind, file, count: {"type": kind, "url": f"https://example.org/fhir/{file}", "count": count}
    named = [output("Condition", "Condition.000.ndjson", 4), output("Encounter", "Encounter.000.ndjson", 3),
             output("Device", "Device.000.ndjson", 2), output("Group", "Group.000.ndjson", 1)]
    manifest = {"transactionTime": "2026-01-01T00:00:00Z", "request": "https://example.org/fhir/$export",
                "requiresAccessToken": False, "output": named, "error": []}
    put("export/manifest.json", json.dumps(manifest, indent=2))
    put("export/Condition.000.ndjson", lines("Condition", 4))
    put("export/Encounter.000.ndjson.gz", gzip.compress(lines("Encounter", 2).encode()))
    put("export/Device.000.ndjson", lines("Device", 1) + lines("Practitioner", 1))
    put("export/Location.000.ndjson", lines("Location", 1))


malware()
forged()
persons()
rules()
export()

"""A gate as JUnit XML, which every build server shows."""

from xml.etree import ElementTree

from nucleate.findings import plain
from nucleate.monitor.gate._report import GateReport, Judged
from nucleate.monitor.gate._words import threshold_lines


def junit_xml(report: GateReport) -> bytes:
    """One test case a criterion.

    Args:
        report: of `run_gate`.

    Returns:
        UTF-8. A pass is a pass; a miss of severity fail is a failure; a warning is a pass with
        its sentence in `system-out`; what is inconclusive is skipped with its reason; what cannot
        be read is an error.

    Notes:
        Build servers let skipped tests pass: where *inconclusive* must stop a build, go by the
        exit code of `nucleate gate`, which is 3 then.
    """
    found = [each.verdict for each in report.criteria]
    suite = ElementTree.Element(
        "testsuite",
        name=plain(f"nucleate gate: {report.stage}"),
        tests=str(len(found)),
        failures=str(found.count("fail")),
        errors=str(found.count("error")),
        skipped=str(found.count("inconclusive")),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("verdict", report.verdict),
        ("page", report.thresholds.digest),
        *report.inputs.items(),
    ):
        ElementTree.SubElement(properties, "property", name=plain(name), value=plain(value))
    for judged in report.criteria:
        _case(suite, report.stage, judged)
    told = [*threshold_lines(report, "en"), *report.notes]
    ElementTree.SubElement(suite, "system-out").text = "\n".join(map(plain, told))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(suite: ElementTree.Element, stage: str, judged: Judged) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=plain(f"gate.{stage}.{judged.evidence}"),
        name=plain(judged.name),
    )  # fmt: skip
    told = plain(judged.sentence)
    if judged.verdict == "fail":
        ElementTree.SubElement(case, "failure", message=told, type=judged.reason)
    elif judged.verdict == "error":
        ElementTree.SubElement(case, "error", message=told, type=judged.reason)
    elif judged.verdict == "inconclusive":
        ElementTree.SubElement(case, "skipped", message=told)
    ElementTree.SubElement(case, "system-out").text = told

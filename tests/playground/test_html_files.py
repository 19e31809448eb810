"""What a reader sees of HTML files, in browsers' own terms; but empty lines stand where browsers leave room.

What is expected was compared with Chromium's `innerText` of the same files.
"""

import pytest

from tests.playground.conftest import OpenPage, call, open_file

pytestmark = pytest.mark.integration

READ = {
    "> inside quotes ends no tag": (
        """<p title="a > b" data-x='<b>'>One</p><a href="x?a>b">Two</a><p title=it's>Three</p><p a"b>Four</p>""",
        "One\n\nTwo\n\nThree\n\nFour",
    ),
    "what is hidden is not read": (
        '<p hidden>no<p>Yes<div hidden="">no<div>no</div></div>and<span HIDDEN>no</span> on'
        "<table><td hidden>no<td>y</table>",
        "Yes\n\nand on\n\ny",
    ),
    "what is not displayed is not read": (
        "<div style=\"color:red; display : none !important\">no<p>no</div>Yes<b STYLE='DISPLAY:NONE'>no</b>"
        '<p style=display:none>no<p style="display:nonesuch">and this',
        "Yes\n\nand this",
    ),
    "what stands in hidden elements ends where browsers end it": (
        "<b hidden><p>no</b>yes</p><span hidden><div>no</span>no</div>",
        "yes",
    ),
    "programs, styles, templates and pictures are not read": (
        '<title>no <b></title>A<script>if (a<b) "</p>"</script><style>p{content:">"}</style><p>'
        "<template><p>no</template><noscript><p>no</noscript>B"
        "<svg><title>no</title><path/><svg/></svg>C<svg/>D<textarea>no <p></textarea>",
        "A\n\nBCD",
    ),
    "references without semicolons, and unknown ones": (
        "AT&ampT &copy 2020 &notit; &eacute&egrave; &lt;b&gt; &unknown; R&D &amp;amp; a&nbsp;b &am<!-- -->p;",
        "AT&T © 2020 ¬it; éè <b> &unknown; R&D &amp; a\u00a0b &amp;",
    ),
    "references by number, in range or not": (
        "&#65;&#x42&#67 &#0; &#x110000; &#xD800; &#128; &#99999999999999; &#; &#x;",
        "ABC \ufffd \ufffd \ufffd € \ufffd &#; &#x;",
    ),
    "comments do not nest": (
        "a<!-- x <!-- y --> z -->b<!-->c<!--->d<!-- --!>e<!- f ->g<!DOCTYPE x>h<?php echo 1 ?>i</ j>k</>l",
        "a z -->bcdeghikl",
    ),
    "a comment that never ends": ("a<p>b<!-- c <p>d", "a\n\nb"),
    "a tag that never ends": ('one <p class="two> three', "one"),
    "< that begins no tag": ("a < b <3 <> c", "a < b <3 <> c"),
    "blocks and lines": (
        "<h1>T</h1>text<p>one<p>two<div>three<div>four</div>five</div><ul><li>x<li>y</ul>tail<hr>z<dl><dt>t<dd>d</dl>",
        "T\n\ntext\n\none\n\ntwo\n\nthree\nfour\nfive\n\nx\ny\n\ntail\nz\nt\nd",
    ),
    "line breaks": ("a<br>b<br/> <br>c<p>d<br></p><p>e</p>f<br><div>g</div>", "a\nb\n\nc\n\nd\n\ne\n\nf\ng"),
    "cells": (
        "<table><caption>T</caption><tr><th>A<th>B<tr><td>1<td><p>2</p><p>3</p><td></td><td>4</td></tr>"
        "<tr><td></td><td>x</td></tr><tr><td><table><tr><td>a<td>b</table></td><td>c</table>after",
        "T\nA\tB\n1\t2\n\n3\t\t4\n\tx\na\tb\tc\n\nafter",
    ),
    "text that is laid out": (
        "<p>  c   d\n e </p><pre>\n x  y\n\n\tz\n</pre>after<pre>a<br>b\r\n<b>c</b>\rd</pre>",
        "c d e\n\n x  y\n\n\tz\n\nafter\n\na\nb\nc\nd",
    ),
    "upper case": ("<P>One<BR>Two<SCRIPT>no</SCRIPT ><DIV HIDDEN>no</DIV>", "One\nTwo"),
    "XHTML": (
        '<?xml version="1.0"?><html><head><script src="x"/><title/></head>'
        '<body><p/>One<div hidden="hidden"/>Two<br/>Three',
        "One\n\nTwo\nThree",
    ),
    "elements that nobody knows": (
        '<my-card hidden>no</my-card><my-card>yes</my-card><a"b> and</a"b><plaintext> on',
        "yes and on",
    ),
}


def test_html_is_read_as_browsers_do(open_page: OpenPage) -> None:
    page = open_page()
    assert {told: call(page, "html.js", "textOfHtml", html) for told, (html, _) in READ.items()} == {
        told: text for told, (_, text) in READ.items()
    }


def test_nothing_of_an_html_file_is_run_or_loaded(open_page: OpenPage) -> None:
    # Whatever is said, asked of others or against the page's policy fails at the end of the test.
    page = open_page()
    page.wait_for_selector("#reading .block")
    html = (
        '<style>p{color:red}</style><p style="color:red" onclick="alert(1)">A<base href=https://example.com>'
        "<img src=https://example.com/x onerror=alert(2)><link rel=stylesheet href=https://example.com/y>"
        "<iframe src=https://example.com/z></iframe>"
        "<svg><style>p{}</style><script>alert(3)</script></svg><b style='x'>B</b><form action=javascript:alert(4)>"
    )
    open_file(page, "a.html", html, "text/html")
    assert page.text_content("#reading") == "AB"


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<div>" * 300_000 + "end", id="elements in each other"),
        pytest.param("<b><i><u>x<p>" * 30_000 + "<li>end", id="elements without an end"),
        pytest.param("<!--" * 100_000 + "--><a b='>" * 50_000 + "'>end", id="comments and quotes without an end"),
    ],
)
def test_the_time_grows_with_the_file(html: str, open_page: OpenPage) -> None:
    # What grew with the square of these would not come to an end here.
    assert call(open_page(), "html.js", "textOfHtml", html).endswith("end")

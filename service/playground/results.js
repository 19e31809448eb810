// What is shown beside the document for each kind of answer.

import { bar, element, tableHead } from "./dom.js";
import { EntityFilter, FindingsTable } from "./findings.js";
import { format, headings, said } from "./texts.js";

/**
 * Return `{ node, table }` for what a task has read out of an answer; `table` is null where nothing can be marked.
 *
 * `onSelect(place)` is called with a finding that is chosen, `onFilter(isShown, counted)` when fewer or more are shown.
 */
export function drawResult(view, onSelect, onFilter) {
  return DRAWN[view.kind](view, onSelect, onFilter);
}

const DRAWN = {
  answers(view, onSelect) {
    const [best] = view.findings;
    const table = new FindingsTable(headings.answersCaption, onSelect);
    table.show(view.findings);
    return {
      table,
      node: element(
        "div",
        {},
        element(
          "p",
          { class: "answer", dir: "auto" },
          best.empty
            ? element("span", { class: "empty-answer", text: said.noAnswer })
            : element("button", { type: "button", class: "finding", text: best.text, onclick: () => onSelect(0) }),
        ),
        element(
          "p",
          { class: "answer-score" },
          view.type ? element("span", { class: "type", text: said.answerTypes[view.type] }) : null,
          bar(best.score),
          element("span", { text: best.scored }),
        ),
        table.node,
      ),
    };
  },

  entities(view, onSelect, onFilter) {
    const table = new FindingsTable(headings.caption, onSelect);
    table.show(view.findings);
    const counted = element("p", { class: "counted", text: view.summary });
    const filter = new EntityFilter(view.findings, (isShown) => {
      table.filter(isShown);
      counted.textContent = said.entities(table.visible.length, view.findings.length);
      onFilter(isShown, counted.textContent);
    });
    return { table, node: element("div", {}, counted, view.findings.length ? [filter.node, table.node] : null) };
  },

  labels(view) {
    const rows = view.labels.map(({ label, score, scored }, rank) =>
      element(
        "tr",
        { class: rank === 0 ? "best" : undefined },
        element("th", { scope: "row", text: label }),
        element("td", { class: "number" }, bar(score), element("span", { text: scored })),
        view.shares.length > 1 ? element("td", {}, windowShares(view.shares, rank)) : null,
      ),
    );
    return {
      table: null,
      node: element(
        "table",
        { class: "ranking labels" },
        element("caption", { class: "unseen", text: view.summary }),
        view.shares.length > 1
          ? tableHead([headings.label, headings.score, said.inWindows])
          : tableHead([headings.label, headings.score], "unseen"),
        element("tbody", {}, rows),
      ),
    };
  },

  matrix({ caption, texts, values, name }) {
    const head = values.map((_, place) => element("th", { scope: "col", text: String(place + 1), title: name(place + 1) }));
    const rows = values.map((row, place) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, element("span", { class: "place", text: String(place + 1) }), element("span", { class: "clipped", dir: "auto", text: texts[place] })),
        row.map((value, column) => {
          const cell = element("td", { class: `number${column === place ? " same" : ""}`, text: format.number(value) });
          cell.style.setProperty("--share", String(Math.max(0, value)));
          return cell;
        }),
      ),
    );
    return {
      table: null,
      node: element(
        "table",
        { class: "matrix" },
        element("caption", { text: caption }),
        element("thead", {}, element("tr", {}, element("td"), head)),
        element("tbody", {}, rows),
      ),
    };
  },

  ranking: (view) => ({ table: null, node: rankingTable(view) }),
  rankings: ({ rankings }) => ({ table: null, node: element("div", { class: "rankings" }, rankings.map(rankingTable)) }),

  continuation: ({ prompt, text, note }) => ({
    table: null,
    node: element(
      "div",
      {},
      element("p", { class: "continuation", dir: "auto" }, prompt, element("mark", { class: "kind-answer", text })),
      element("p", { class: "hint", text: note }),
    ),
  }),
};

function rankingTable({ caption, rows }) {
  return element(
    "table",
    { class: "ranking" },
    element("caption", { text: caption }),
    tableHead([headings.text, headings.score], "unseen"),
    element(
      "tbody",
      {},
      rows.map(({ text, score, scored, context }, rank) =>
        element(
          "tr",
          { class: rank === 0 ? "best" : undefined },
          element("th", { scope: "row", dir: "auto", text, title: context ?? undefined }),
          element("td", { class: "number" }, bar(score), element("span", { text: scored })),
        ),
      ),
    ),
  );
}

/** A label's score in each window: as wide as the window's share of the tokens, as high as the score. */
function windowShares(shares, rank) {
  const told = shares.map(({ share, labels }, number) => `${said.share(number + 1, format.percent(share))}: ${labels[rank].scored}`);
  const drawn = shares.map(({ share, labels }, number) => {
    const filled = element("span");
    filled.style.height = `${100 * Math.min(1, Math.max(0, labels[rank].score))}%`;
    const cell = element("span", { class: "share", title: told[number] }, filled);
    cell.style.flexGrow = String(share);
    return cell;
  });
  return element("div", { class: "shares", role: "img", aria: { label: told.join("; ") } }, drawn);
}

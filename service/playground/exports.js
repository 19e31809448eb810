// Entities in the forms of other tools. All positions are code points, as the service gives them and Python counts.

import { lastOf } from "./cutting.js";

const TOKEN = /\p{L}[\p{L}\p{M}\p{N}]*|\p{N}+|[^\s]\p{M}*/gu;

/**
 * Return words and punctuation with their code points `[start, end)`, cut where an entity begins or ends, too.
 *
 * `entities` are the answer's, in order.
 */
function tokensOf(text, entities) {
  const cuts = new Set(entities.flatMap(({ start, end }) => [start, end]));
  const tokens = [];
  let [unit, point] = [0, 0];
  for (const { 0: word, index } of text.matchAll(TOKEN)) {
    point += [...text.slice(unit, index)].length;
    unit = index + word.length;
    let [start, own] = [point, ""];
    for (const character of word) {
      if (own && cuts.has(point)) {
        tokens.push({ text: own, start, end: point });
        [start, own] = [point, ""];
      }
      own += character;
      point += 1;
    }
    tokens.push({ text: own, start, end: point });
  }
  return tokens;
}

/** Return, in order, entities that do not overlap: of those that do, the longest, then the first. */
export function apart(entities) {
  const kept = [];
  const longest = [...entities].sort((one, other) => other.end - other.start - (one.end - one.start) || one.start - other.start);
  for (const entity of longest) {
    const place = lastOf(kept, ({ start }) => start <= entity.start);
    if (kept[place]?.end > entity.start || kept[place + 1]?.start < entity.end) continue;
    kept.splice(place + 1, 0, entity);
  }
  return kept;
}

/**
 * CoNLL: a word and its tag on each line, a tab between them, an empty line after each line of the text.
 *
 * `ofTokens` says that the entities are tokens, each with a label that has its position already.
 */
export function conll(text, entities, ofTokens) {
  const kept = apart(entities);
  const characters = [...text];
  const lines = [];
  let [next, before] = [0, 0];
  for (const token of tokensOf(text, kept)) {
    if (lines.length && characters.slice(before, token.start).some((one) => one === "\n" || one === "\r")) lines.push("");
    while (next < kept.length && kept[next].end <= token.start) next++;
    const entity = kept[next];
    const inside = entity && entity.start <= token.start;
    const begins = inside && token.start === entity.start;
    // A token of the model is one word.
    if (ofTokens && inside && !begins && token.start === before) {
      const [word, tag] = lines.pop().split("\t");
      lines.push(`${word}${token.text}\t${tag}`);
    } else lines.push(`${token.text}\t${inside ? tagOf(entity.entity, begins, ofTokens) : "O"}`);
    before = token.end;
  }
  return `${lines.join("\n")}\n`;
}

function tagOf(label, begins, ofTokens) {
  const name = label.replace(/\s+/g, "_");
  if (!ofTokens) return `${begins ? "B" : "I"}-${name}`;
  const tag = /^[BIELSU]-./.test(name) ? name : `I-${name}`;
  return begins ? tag : tag.replace(/^[BSU]/, "I");
}

/** spaCy: what `Doc.to_json` writes and `Doc(nlp.vocab).from_json` reads. Entities overlap in `spans` alone. */
export function spacy(text, entities) {
  const characters = [...text];
  const tokens = [];
  let end = 0;
  // A space belongs to the word before it; all other white space is tokens of its own.
  const blank = (to) => {
    const from = end < to && end > 0 && characters[end] === " " ? end + 1 : end;
    if (from < to) tokens.push({ start: from, end: to });
  };
  for (const token of tokensOf(text, entities)) {
    blank(token.start);
    tokens.push({ start: token.start, end: token.end });
    end = token.end;
  }
  blank(characters.length);
  return {
    text,
    ents: apart(entities).map(span),
    spans: { sc: entities.map((entity) => ({ ...span(entity), kb_id: "" })) },
    tokens: tokens.map((token, id) => ({ id, ...token })),
  };
}

const span = ({ start, end, entity }) => ({ start, end, label: entity });

/** Label Studio: a task with predictions, for a labelling configuration with `label` on `text`. */
export function labelStudio(text, entities, model) {
  const result = entities.map(({ start, end, text: own, entity, score }, number) => ({
    id: `entity-${number + 1}`,
    from_name: "label",
    to_name: "text",
    type: "labels",
    score,
    value: { start, end, text: own, labels: [entity] },
  }));
  return [{ data: { text }, predictions: [{ model_version: model, result }] }];
}

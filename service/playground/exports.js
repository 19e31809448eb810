// Entities in the forms of other tools. All positions are code points, as the service gives them and Python counts.

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

/** CoNLL: a word and its tag on each line, a tab between them, an empty line after each line of the text. */
export function conll(text, entities) {
  const tokens = tokensOf(text, entities);
  const characters = [...text];
  const lines = [];
  let [next, before] = [0, 0];
  for (const token of tokens) {
    if (lines.length && characters.slice(before, token.start).some((one) => one === "\n" || one === "\r")) lines.push("");
    before = token.end;
    while (next < entities.length && entities[next].end <= token.start) next++;
    const entity = entities[next];
    const inside = entity && entity.start <= token.start && token.end <= entity.end;
    const tag = inside ? `${token.start === entity.start ? "B" : "I"}-${entity.entity}` : "O";
    lines.push(`${token.text}\t${tag}`);
  }
  return `${lines.join("\n")}\n`;
}

/** spaCy: what `Doc.to_json` writes and `Doc(nlp.vocab).from_json` reads. */
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
    ents: entities.map(({ start, end: stop, entity }) => ({ start, end: stop, label: entity })),
    tokens: tokens.map((token, id) => ({ id, ...token })),
  };
}

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

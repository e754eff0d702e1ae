// Checks of what was said, which take a paraphrase and refuse the opposite.

const PLAIN = { '*': '', _: '', '`': '', '’': "'", '‘': "'", '“': '"', '”': '"' };

/**
 * Whether some sentence of the text has one phrase of every group, and none of `unless`.
 *
 * Phrases are lower case and match at the start of a word, so `approv` is in "Approve" but not in "disapprove".
 */
export function says(text, groups, unless = []) {
  return sentences(text).some(
    (sentence) =>
      groups.every((group) => group.some((phrase) => has(sentence, phrase))) &&
      !unless.some((phrase) => has(sentence, phrase)),
  );
}

/** The sentences, plain and in lower case. A list item, a heading and a paragraph end a sentence. */
export function sentences(text) {
  const found = [[]];
  for (const line of text.split(/\r?\n/).map((line) => line.trim())) {
    if (line === '' || /^([-*+#>|]|\d+[.)])/.test(line)) found.push([]);
    const plain = line.replace(/[*_`’‘“”]/g, (sign) => PLAIN[sign]).toLowerCase();
    for (const word of plain.split(/\s+/).filter((word) => word !== '')) {
      found.at(-1).push(word);
      if (/[.!?;]["')]*$/.test(word)) found.push([]);
    }
    if (line.startsWith('#')) found.push([]);
  }
  return found.filter((words) => words.length > 0).map((words) => words.join(' '));
}

function has(sentence, phrase) {
  for (let at = sentence.indexOf(phrase); at >= 0; at = sentence.indexOf(phrase, at + 1)) {
    if (at === 0 || !isInWord(phrase[0]) || !isInWord(sentence[at - 1])) return true;
  }
  return false;
}

/** The engine of a component knows no `\p{L}`. */
function isInWord(sign) {
  return sign.toLowerCase() !== sign.toUpperCase() || /\d/.test(sign);
}

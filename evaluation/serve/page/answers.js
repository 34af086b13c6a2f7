// The answers of a video, the newest first; one of them is drawn over it.

import {written} from "./times.js";

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

const element = (kind, name, text) => {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
};

const button = (text, act) => {
  const made = element("button", "", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
};

export class Answers {
  // ``onchoose`` is called when another answer, or other objects of it, are to be drawn; ``onseek`` with a time.
  constructor(list, colours, {onchoose, onseek}) {
    Object.assign(this, {list, colours, onchoose, onseek});
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.chosen = null;
  }

  colour(object) {
    return css(this.colours[(object - 1) % this.colours.length]);
  }

  add({record, pieces, objects, took_s}) {
    const card = element("article", "card answer"), answer = {record, hidden: new Set(), card};
    const head = element("header");
    head.append(element("p", "asked", record.question));
    const draw = button("Show on the video", () => this.choose(answer));
    draw.className = "draw";
    head.append(draw);
    card.append(head, this.text(pieces));
    if (record.spans.length) card.append(this.spans(record.spans));
    if (record.masks.length) card.append(this.objects(answer, objects));
    const notes = [...record.notes];
    const {segmented, masks, video} = record;
    if (masks.length && segmented.length < video.frames) {
      notes.push(`${segmented.length} of the video's ${video.frames} frames have masks.`);
    }
    if (notes.length) {
      const list = element("ul", "notes");
      list.append(...notes.map(note => element("li", "", note[0].toUpperCase() + note.slice(1))));
      card.append(list);
    }
    const foot = element("footer", "hint", `Answered in ${written(took_s)} · `), save = element("a", "", "Save answer.json");
    save.href = URL.createObjectURL(new Blob([JSON.stringify(record, null, 1)], {type: "application/json"}));
    save.download = "answer.json";
    foot.append(save);
    card.append(foot);
    this.list.prepend(card);
    this.choose(answer);
    return card;
  }

  text(pieces) {
    const text = element("p", "text said");
    for (const piece of pieces) {
      const part = element("span", "", piece.text);
      if (piece.object) {
        part.className = "token";
        part.style.setProperty("--colour", this.colour(piece.object));
        part.title = `object ${piece.object}`;
      } else if (piece.seconds !== undefined) {
        part.className = "token";
        part.style.setProperty("--colour", "var(--span)");
        part.dataset.seconds = written(piece.seconds);
      }
      text.append(part);
    }
    if (!pieces.length) text.append(element("em", "hint", "The model answered with nothing."));
    return text;
  }

  spans(spans) {
    const list = element("ul", "found");
    list.append(...spans.map(({start_s, end_s}) => {
      const item = element("li"), swatch = element("span", "swatch");
      swatch.style.background = "var(--span)";
      const when = `${written(start_s)} to ${written(end_s)}`;
      const go = button(when, () => this.onseek(start_s));
      go.className = "link";
      go.setAttribute("aria-label", `From ${when}; go there`);
      item.append(swatch, go);
      return item;
    }));
    return list;
  }

  objects(answer, objects) {
    const list = element("ul", "found"), count = answer.record.segmented.length;
    list.append(...objects.map(({visible, share}, at) => {
      const number = at + 1, item = element("li"), label = element("label"), swatch = element("span", "swatch");
      const shown = element("input");
      Object.assign(shown, {type: "checkbox", checked: true});
      shown.addEventListener("change", () => {
        if (shown.checked) answer.hidden.delete(number); else answer.hidden.add(number);
        this.choose(answer);
      });
      swatch.style.background = this.colour(number);
      const covers = visible ? `, ${(100 * share).toFixed(1)} % of the picture there` : "";
      label.append(shown, swatch, `object ${number}: on ${visible} of ${count} frames${covers}`);
      item.append(label);
      return item;
    }));
    return list;
  }

  choose(answer) {
    this.chosen?.card.classList.remove("chosen");
    this.chosen = answer;
    answer.card.classList.add("chosen");
    this.onchoose(answer);
  }
}

// Keys, while nobody is typing: the scenes', and those that the terminal knows, too.

const TYPES = ["checkbox", "radio", "range", "color", "button", "file"];

function isTyping(target) {
  if (target.isContentEditable || target.closest("select, textarea")) return true;
  return target instanceof HTMLInputElement && !TYPES.includes(target.type);
}

/** Space and Enter press what has the focus. */
function isPressing(event) {
  return event.key === " " && event.target.closest("button, input, label, summary, a");
}

export function listenToKeys(controls, state, wish) {
  const usual = {
    " ": () => controls.toggle("slate"),
    f: () => controls.toggle("freeze"),
    b: () => controls.toggle("background"),
    m: () => wish({ mirror: !document.getElementById("mirror").checked }),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (!state() || isTyping(event.target) || isPressing(event)) return;
    const scene = state().choices.scenes.find(({ key }) => key === event.key);
    const act = scene ? () => controls.choose(scene.name) : usual[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

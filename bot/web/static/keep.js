// What outlives a reload: the drawing, in IndexedDB, and small settings in the browser's storage.
// Where nothing is kept (a private window, site data that is blocked), the page works without.

const DRAWINGS = "drawings";

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("atelier", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(DRAWINGS);
    request.onsuccess = () => {
      resolve(request.result);
      request.result.onclose = () => (opened = null); // by the browser: it is opened anew
    };
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function transact(mode, act) {
  const transaction = (await database()).transaction(DRAWINGS, mode);
  return new Promise((resolve, reject) => {
    const request = act(transaction.objectStore(DRAWINGS));
    transaction.onabort = transaction.onerror = () => reject(request.error);
    if (mode === "readonly") return (request.onsuccess = () => resolve(request.result));
    transaction.commit(); // at once: the page may be on its way out
    transaction.oncomplete = resolve; // maybe before a request for more than 64 KiB has its result
  });
}

/**
 * Keep a drawing in the place of those that it was made from, by their ids. Returns whether it is.
 * What another page keeps stays beside it. Nothing is asked before: a page on its way out hears no answer.
 */
export const keepDrawing = (name, drawing, from) =>
  transact("readwrite", (store) => {
    for (const id of from) store.delete(`${name} ${id}`);
    return store.put(drawing, `${name} ${drawing.id}`);
  }).then(() => true, () => false);

/** The drawings that are kept under a name, the newest last; of one page, one. */
export const keptDrawings = (name) =>
  transact("readonly", (store) => store.getAll(IDBKeyRange.bound(`${name} `, `${name}!`))).then(
    (all) => all.sort((a, b) => a.at - b.at),
    () => [],
  );

/** Keep a value, for this tab alone or for all; null is none. */
export function keep(name, value, isTabs = false) {
  try {
    const storage = isTabs ? sessionStorage : localStorage;
    if (value === null) storage.removeItem(`atelier.${name}`);
    else storage.setItem(`atelier.${name}`, JSON.stringify(value));
  } catch {
    // Full or blocked.
  }
}

/** A value that is kept, or null. */
export function kept(name, isTabs = false) {
  try {
    return JSON.parse((isTabs ? sessionStorage : localStorage).getItem(`atelier.${name}`));
  } catch {
    return null;
  }
}

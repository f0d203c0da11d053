"""What must hold of every page: said to a browser as a function that answers what does not."""

from __future__ import annotations

AUDIT = """() => {
  const wrong = [];
  const ids = [...document.querySelectorAll('[id]')].map((part) => part.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id is there twice');
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  let last = 1;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) wrong.push(`a heading is left out before ${heading.textContent}`);
    last = level;
  }
  for (const image of document.images) if (!image.hasAttribute('alt')) wrong.push('an image without words');
  for (const field of document.querySelectorAll('input:not([type=hidden]), textarea, select'))
    if (!field.labels.length) wrong.push(`a field without a label: ${field.name}`);
  for (const button of document.querySelectorAll('button, a'))
    if (!(button.textContent.trim() || button.getAttribute('aria-label'))) wrong.push('a control without a name');
  for (const button of document.querySelectorAll('button'))
    if (button.offsetHeight > 56) wrong.push(`a button is squeezed: ${button.textContent}`);
  for (const table of document.querySelectorAll('table:not(.prose table)'))
    if (!table.caption || table.querySelector('th:not([scope])')) wrong.push('a table without caption or scopes');
  for (const part of document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls]'))
    for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls'])
      for (const id of (part.getAttribute(name) ?? '').split(' '))
        if (id && !document.getElementById(id)) wrong.push(`${name} of nothing: ${id}`);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page is wider than the screen');
  return wrong;
}"""

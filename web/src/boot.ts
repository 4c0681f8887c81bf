/** Starts the app in the page that loads it: with data of the page, of a notebook around it, or over HTTP. */
import { askOf, boxedBar, carriesData, EmbeddedSource, HttpSource, MessageSource } from "./core";
import { mount } from "./main";

const root = document.getElementById("nucleate");
const ask = askOf(window.frameElement);
if (root && ask) mount(root, new MessageSource(ask), boxedBar());
else if (root) mount(root, carriesData(document) ? new EmbeddedSource() : new HttpSource());

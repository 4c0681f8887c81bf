/** Starts the app in the page that loads it: from the data in the page itself, or over HTTP. */
import { carriesData, EmbeddedSource, HttpSource } from "./core";
import { mount } from "./main";

const root = document.getElementById("nucleate");
if (root) mount(root, carriesData(document) ? new EmbeddedSource() : new HttpSource());

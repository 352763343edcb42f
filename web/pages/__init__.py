"""The pages. A view parses, makes one domain call, and renders."""

from web.pages.dashboard import dashboard_pages
from web.pages.hives import hives_pages
from web.pages.jobs import jobs_pages
from web.pages.login import login_pages
from web.pages.models import models_pages
from web.pages.settings import settings_pages

PAGES = (login_pages, dashboard_pages, jobs_pages, hives_pages, models_pages, settings_pages)
